# Owns calls of the kernel that Python's modules do not have, or not without the interpreter's lock.
"""Calls of the kernel."""

from cpython.exc cimport PyErr_SetFromErrno
from libc.stdint cimport int64_t
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

cdef extern from *:
    """
    #include <errno.h>
    #include <fcntl.h>
    #include <poll.h>
    #include <sched.h>
    #include <stdint.h>
    #include <string.h>
    #include <sys/syscall.h>
    #include <unistd.h>
    #if defined(__x86_64__) || defined(__i386__)
    #define relax() __builtin_ia32_pause()
    #elif defined(__aarch64__)
    #define relax() __asm__ __volatile__("yield")
    #else
    #define relax() ((void)0)
    #endif

    static int begin_write(int descriptor, int64_t offset, int64_t nbytes) {
    #ifdef __linux__
        return sync_file_range(descriptor, offset, nbytes, SYNC_FILE_RANGE_WRITE);
    #else
        return 0;
    #endif
    }

    static int has_input(int descriptor) {
        struct pollfd polled = {descriptor, POLLIN, 0};
        return poll(&polled, 1, 0) > 0;
    }

    #ifdef SYS_sched_setattr
    /* As in the kernel's linux/sched/types.h; glibc has no such structure before 2.41. */
    struct slice_request {
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t slice_ns, deadline_ns, period_ns;
    };

    static int ask_for_slice(int64_t slice_ns, int is_for_children) {
        const uint64_t reset_on_fork = 1;
        struct slice_request request;
        memset(&request, 0, sizeof(request));
        if (syscall(SYS_sched_getattr, 0, &request, sizeof(request), 0))
            return -1;
        if (request.policy != SCHED_OTHER)
            return 0;
        request.size = sizeof(request);
        request.slice_ns = (uint64_t)slice_ns;
        /* It would take a better niceness from them as well. */
        request.flags = is_for_children || request.nice < 0 ? 0 : reset_on_fork;
        return (int)syscall(SYS_sched_setattr, 0, &request, 0);
    }
    #else
    static int ask_for_slice(int64_t slice_ns, int is_for_children) {
        (void)slice_ns, (void)is_for_children;
        return 0;
    }
    #endif

    /* A moment in which the other thread of the core has it to itself. */
    static void breathe(void) {
        for (int i = 0; i < 16; i++)
            relax();
    }
    """
    int begin_write(int descriptor, int64_t offset, int64_t nbytes) nogil
    int ask_for_slice(int64_t slice_ns, bint is_for_children) nogil
    bint has_input(int descriptor) noexcept nogil
    void breathe() noexcept nogil


def begin_writeback(int descriptor, int64_t offset, int64_t nbytes):
    """Have the disk begin with bytes that were written to a file, without waiting for it.

    They are no more durable by that: fdatasync waits for them. Elsewhere than on Linux it does
    nothing.

    Args:
        descriptor: An open file.
        offset: Where the bytes begin.
        nbytes: How many they are.

    Raises:
        OSError: The file, or its disk, does not take that.
    """
    cdef int failed
    with nogil:
        failed = begin_write(descriptor, offset, nbytes)
    if failed:
        PyErr_SetFromErrno(OSError)


def take_short_turns(int64_t slice_ns, *, bint is_for_children=False):
    """Have the calling thread run in short turns, which begin at once when it is woken up.

    Its share of a core stays the same. Linux has this since 6.12; older ones, other systems and
    threads with a real-time priority go on as before.

    Args:
        slice_ns: A turn, 100,000 at least; 0 for the kernel's own.
        is_for_children: Whether threads and processes that it starts get the same. They do anyhow
            if the thread is nicer to itself than usual (niceness below 0).

    Raises:
        ValueError: No turn can be that short.
        OSError: The kernel refuses.
    """
    if slice_ns < 0:
        raise ValueError(f"a turn cannot take {slice_ns} ns")
    if ask_for_slice(slice_ns, is_for_children):
        PyErr_SetFromErrno(OSError)


cdef int64_t now_ns() noexcept nogil:
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return <int64_t>now.tv_sec * 1_000_000_000 + now.tv_nsec


def poll_busily(int descriptor, int64_t ns_max):
    """Wait for input without giving the core away, and without the interpreter's lock.

    Args:
        descriptor: What to wait for; one of epoll stands for all that it watches.
        ns_max: How long at most.

    Returns:
        Whether there is input.
    """
    cdef int64_t end = 0
    cdef bint found = False
    with nogil:
        end = now_ns() + ns_max
        while True:
            found = has_input(descriptor)
            if found or now_ns() >= end:
                break
            breathe()
    return found

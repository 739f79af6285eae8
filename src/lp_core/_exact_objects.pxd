# Exact str, int and float objects, looked at without a call, and the dict of an extension's object.

from cpython.object cimport PyObject
from libc.stdint cimport uint8_t, uint32_t


cdef extern from "Python.h":
    bint PyFloat_CheckExact(object number)
    double PyFloat_AS_DOUBLE(object number)


cdef extern from *:
    """
    /* From 3.12 on the interpreter calls methods of an object faster while it has no dict, 3.11
     * while it has one. Cython gives it one; without, it is made when somebody asks for it. */
    static inline void suit_dict(PyObject* object) {
    #if PY_VERSION_HEX >= 0x030C0000
        PyObject** place = _PyObject_GetDictPtr(object);
        if (place != NULL)
            Py_CLEAR(*place);
    #endif
    }

    static inline int is_ascii_str(PyObject* object) {
        /* Both bits at once, which compilers do not see. */
        const PyASCIIObject plain = {.state = {.compact = 1, .ascii = 1}};
        uint32_t wanted, state;
        _Static_assert(sizeof(state) == sizeof(plain.state), "32 bits");
        if (!PyUnicode_CheckExact(object))
            return 0;
        memcpy(&wanted, &plain.state, sizeof(wanted));
        memcpy(&state, &((PyASCIIObject*)object)->state, sizeof(state));
        return (~state & wanted) == 0;
    }

    /* Of such a str. The bytes stand behind an object, so that eight before them can be read. */
    static inline uint8_t* ascii_bytes(PyObject* text) {
        return (uint8_t*)((PyASCIIObject*)text + 1);
    }

    static inline Py_ssize_t ascii_length(PyObject* text) {
        return ((PyASCIIObject*)text)->length;
    }

    static inline PyObject* new_ascii_str(Py_ssize_t length) {
        return PyUnicode_New(length, 127);
    }

    /* Whether the object is an exact int from 0 on of one digit, which it tells. */
    static inline int is_short_int(PyObject* object, uint32_t* number) {
        if (!PyLong_CheckExact(object))
            return 0;
    #if PY_VERSION_HEX >= 0x030C0000
        if (!PyUnstable_Long_IsCompact((PyLongObject*)object))
            return 0;
        Py_ssize_t value = PyUnstable_Long_CompactValue((PyLongObject*)object);
        *number = (uint32_t)value;
        return value >= 0;
    #else
        *number = (uint32_t)Py_SIZE(object) * ((PyLongObject*)object)->ob_digit[0];
        return Py_SIZE(object) == 1 || Py_SIZE(object) == 0;
    #endif
    }

    /* PyLong_AsLongLongAndOverflow, mostly without a call. */
    static inline long long int_value(PyObject* number, int* overflow) {
    #if PY_VERSION_HEX >= 0x030C0000
        if (PyUnstable_Long_IsCompact((PyLongObject*)number)) {
            *overflow = 0;
            return PyUnstable_Long_CompactValue((PyLongObject*)number);
        }
    #else
        Py_ssize_t size = Py_SIZE(number);
        const digit* digits = ((PyLongObject*)number)->ob_digit;
        if (-1 <= size && size <= 1) {
            *overflow = 0;
            return size == 0 ? 0 : size * (long long)digits[0];
        }
        if (PyLong_SHIFT == 30 && size == 3 && digits[2] < 8) { /* as a time in nanoseconds */
            *overflow = 0;
            return digits[0] | (long long)digits[1] << 30 | (long long)digits[2] << 60;
        }
    #endif
        return PyLong_AsLongLongAndOverflow(number, overflow);
    }
    """
    void suit_dict(object)
    bint is_ascii_str(PyObject* object)
    uint8_t* ascii_bytes(PyObject* text)
    Py_ssize_t ascii_length(PyObject* text)
    PyObject* new_ascii_str(Py_ssize_t length)
    bint is_short_int(PyObject* object, uint32_t* number)
    long long int_value(PyObject* number, int* overflow) noexcept

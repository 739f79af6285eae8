# Owns what LineBuilder knows of names by identity: how a line spells them, and in which order lines
# had them. Bounded; whatever it does not know is spelled and checked anew.

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdint cimport int64_t, uint8_t, uint64_t

from lp_core._known_texts cimport (
    LP_KNOWN_FRAGMENT_BYTES,
    lp_find_known,
    lp_forget_roots,
    lp_known_texts,
    lp_remember_known,
)
from lp_core._line_steps cimport (
    LP_STEPS_REFUSED_MAX,
    lp_add_step,
    lp_line_key,
    lp_line_step,
    lp_line_steps,
    lp_loose_step,
)
from lp_core._line_text cimport lp_line_is_new, lp_line_next, lp_line_text

cdef lp_known_texts known_keys
cdef lp_known_texts known_tables
cdef lp_line_steps steps


cdef lp_line_steps* line_steps() noexcept:
    return &steps


cdef lp_line_key* known_key(PyObject* text) noexcept:
    return lp_find_known(&known_keys, text)


cdef lp_line_key* known_table(PyObject* text) noexcept:
    return lp_find_known(&known_tables, text)


cdef int remember_key(str name, bytes fragment) except -1:
    return remember(&known_keys, name, fragment)


cdef int remember_table(str name, bytes fragment) except -1:
    return remember(&known_tables, name, fragment)


cdef int remember(lp_known_texts* known, str text, bytes fragment) except -1:
    """Note that the name is good and how a line spells it, if both are short and ASCII."""
    cdef const void* dropped
    if PyBytes_GET_SIZE(fragment) > LP_KNOWN_FRAGMENT_BYTES or not text.isascii():
        return 0
    dropped = lp_remember_known(
        known,
        <void*>text,
        <uint64_t>hash(text),
        <uint8_t*>PyBytes_AS_STRING(fragment),
        PyBytes_GET_SIZE(fragment),
    )
    Py_INCREF(text)
    if dropped is not NULL:
        Py_DECREF(<object>dropped)
    return 0


cdef lp_line_step* root_of(lp_line_key* known, PyObject* text) noexcept:
    """Return where lines of a known table begin; NULL where the tree has no place for them."""
    if steps.refused >= LP_STEPS_REFUSED_MAX and steps.lines == 0:
        forget_steps()
    if known.root is NULL:
        known.root = lp_add_step(&steps, NULL, text, known)
        if known.root is not NULL:
            Py_INCREF(<object>text)
    return known.root


cdef void forget_steps() noexcept:
    """Make room in the tree for how lines look now; none is in it."""
    cdef int64_t number
    for number in range(steps.used):
        Py_DECREF(<object>steps.steps[number].text)
        steps.steps[number].text = NULL
    steps.used = steps.refused = 0
    lp_forget_roots(&known_tables)


cdef lp_line_step* step_of(lp_line_text* line, PyObject* text) noexcept:
    """Return the step of a key known by identity; NULL if it is unknown, or in the line already."""
    cdef lp_line_step* step = lp_line_next(line, text)
    return new_step_of(line, text) if step is NULL else step


cdef lp_line_step* new_step_of(lp_line_text* line, PyObject* text) noexcept:
    cdef lp_line_step* step
    cdef lp_line_key* known = lp_find_known(&known_keys, text)
    if known is NULL or not lp_line_is_new(line, known):
        return NULL
    if line.step is not NULL:
        step = lp_add_step(&steps, line.step, text, known)
        if step is not NULL:
            Py_INCREF(<object>text)
            return step
    return lp_loose_step(&steps, known)

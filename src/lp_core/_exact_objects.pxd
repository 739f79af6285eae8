# Exact str, int and float objects, looked at without a call, and the dict of an extension's object.

from cpython.object cimport PyObject
from libc.stdint cimport uint8_t


cdef extern from "Python.h":
    bint PyUnicode_CheckExact(object text)
    bint PyUnicode_IS_COMPACT_ASCII(object text)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)
    uint8_t* PyUnicode_1BYTE_DATA(object text)
    object PyUnicode_New(Py_ssize_t length, Py_UCS4 greatest)
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

    /* PyLong_AsLongLongAndOverflow, without a call where an int has one digit. */
    static inline long long int_value(PyObject* number, int* overflow) {
    #if PY_VERSION_HEX >= 0x030C0000
        if (PyUnstable_Long_IsCompact((PyLongObject*)number)) {
            *overflow = 0;
            return PyUnstable_Long_CompactValue((PyLongObject*)number);
        }
    #else
        Py_ssize_t size = Py_SIZE(number);
        if (-1 <= size && size <= 1) {
            *overflow = 0;
            return size == 0 ? 0 : size * (long long)((PyLongObject*)number)->ob_digit[0];
        }
    #endif
        return PyLong_AsLongLongAndOverflow(number, overflow);
    }
    """
    void suit_dict(object)
    long long int_value(PyObject* number, int* overflow) noexcept

# Functions in front of methods and slots of an extension type: they take calls of the usual form
# and hand all others over. Put there while the module is imported, before anybody uses the type.

from cpython.object cimport PyObject


cdef extern from *:
    """
    typedef PyObject *(*lp_method)(PyObject *, PyObject *const *, Py_ssize_t, PyObject *);

    /* Returns what was there, for `quick` to call. NULL where that is no method that is called with
     * its arguments in a row; then it stays as it is. */
    static inline lp_method put_before_method(PyObject *type, const char *name, lp_method quick)
    {
        lp_method behind = NULL;
        PyObject *method = PyObject_GetAttrString(type, name);
        if (method != NULL && Py_IS_TYPE(method, &PyMethodDescr_Type)) {
            PyMethodDef *definition = ((PyMethodDescrObject *)method)->d_method;
            if (definition->ml_flags == (METH_FASTCALL | METH_KEYWORDS)) {
                behind = (lp_method)(void (*)(void))definition->ml_meth;
                definition->ml_meth = (PyCFunction)(void (*)(void))quick;
            }
        }
        Py_XDECREF(method);
        PyErr_Clear();
        return behind;
    }

    /* The same for making objects and for their end. */
    static inline void put_before_life(PyObject *object, vectorcallfunc *make, destructor *end)
    {
        PyTypeObject *type = (PyTypeObject *)object;
        vectorcallfunc complete_make = type->tp_vectorcall;
        destructor complete_end = type->tp_dealloc;
    #ifndef Py_GIL_DISABLED
        if (complete_make != NULL) {
            type->tp_vectorcall = *make;
            type->tp_dealloc = *end;
        }
    #endif
        *make = complete_make;
        *end = complete_end;
    }

    /* `self`, by way of a note of who was called last, mostly the same one for a whole line. The
     * interpreter has `self` from its stack, where the call before has only just put it; the note
     * the processor has at once, and guesses rightly that both are the same. So all that hangs on
     * the address of the object begins earlier. */
    static inline PyObject *noted(PyObject **note, PyObject *self)
    {
    #ifdef Py_GIL_DISABLED
        return self;
    #else
        if (*note != self)
            *note = self;
        /* Not volatile, it would be `self` to the compiler, which has seen that they are equal. */
        return *(PyObject *volatile *)note;
    #endif
    }

    /* Whether the object is of just this type, which has places for a dict and for weak references,
     * and nobody has hung anything on it. */
    static inline int is_untouched(PyObject *object, PyObject *type)
    {
        PyTypeObject *own = Py_TYPE(object);
        if ((PyObject *)own != type
            || *(PyObject **)((char *)object + own->tp_weaklistoffset) != NULL)
            return 0;
        PyObject *dict = *(PyObject **)((char *)object + own->tp_dictoffset);
    #if PY_VERSION_HEX >= 0x030C0000
        return dict == NULL; /* as suit_dict leaves it */
    #else
        return dict != NULL && Py_REFCNT(dict) == 1 && PyDict_GET_SIZE(dict) == 0;
    #endif
    }
    """
    ctypedef PyObject* (*lp_method)(PyObject*, PyObject* const*, Py_ssize_t, PyObject*) noexcept
    ctypedef PyObject* (*vectorcallfunc)(PyObject*, PyObject* const*, size_t, PyObject*) noexcept
    ctypedef void (*destructor)(PyObject*) noexcept

    lp_method put_before_method(object type, const char* name, lp_method quick)
    void put_before_life(object type, vectorcallfunc* make, destructor* end)
    PyObject* noted(PyObject** note, PyObject* self)
    bint is_untouched(PyObject* object, PyObject* type)


cdef extern from "Python.h":
    Py_ssize_t PyVectorcall_NARGS(size_t nargsf)
    void PyObject_GC_Track(PyObject* object)
    void PyObject_GC_UnTrack(PyObject* object)
    void _Py_NewReference(PyObject* object)

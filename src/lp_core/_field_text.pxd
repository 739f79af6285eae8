# Values of fields as LineBuilder spells them.


cdef str uint64_text(str name, object value)
cdef str int64_text(str name, object value)
cdef str float64_text(str name, object value)
cdef str string_text(str name, object value)
cdef str bool_text(str name, object value)

#include <unlabel/augment/error.h>
#include <unlabel/augment/python/bind.h>
#include <unlabel/augment/system_error.h>

#include <nanobind/nanobind.h>

#include <exception>

namespace nb = nanobind;
using namespace unlabel;

NB_MODULE(_core, m) {
  m.doc() = "The compiled part of unlabel_augment.";
  nb::set_leak_warnings(false);  // what a DataLoader's worker still holds when it ends is not worth a page of words
  static nb::exception<Error> image_error(m, "ImageError", PyExc_RuntimeError);
  // Errors that no other class stands for become ImageErrors; those of wrong use and of limits are told first.
  nb::register_exception_translator([](const std::exception_ptr& thrown, void*) {
    try {
      std::rethrow_exception(thrown);
    } catch (const LimitError& error) {
      PyErr_SetString(PyExc_MemoryError, error.what());
    } catch (const UsageError& error) {
      PyErr_SetString(PyExc_ValueError, error.what());
    }
  });

  augment::python::bind_decode(m);
  augment::python::bind_views(m);
  augment::python::bind_files(m);
  augment::python::bind_functions(m);
  augment::python::bind_batches(m);
}

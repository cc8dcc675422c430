#include <unlabel/augment/error.h>
#include <unlabel/augment/python/bind.h>
#include <unlabel/augment/system_error.h>

#include <exception>

namespace nb = nanobind;
using namespace unlabel;

NB_MODULE(_core, m) {
  m.doc() = "The compiled part of unlabel_augment.";
  nb::set_leak_warnings(false);  // objects that a DataLoader's worker holds when it ends need no report
  static nb::exception<Error> image_error(m, "ImageError", PyExc_RuntimeError);
  // Wrong use and limits have Python's own exceptions; every other Error becomes an ImageError.
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

#pragma once

#include <nanobind/nanobind.h>

namespace unlabel::augment::python {

// What the module consists of (module.cpp), in the order in which it is defined: default values need their classes.

void bind_decode(nanobind::module_& m);     ///< DecodeOptions, decode
void bind_views(nanobind::module_& m);      ///< Views: a multi-crop; presets, instruction sets
void bind_files(nanobind::module_& m);      ///< which files and folders belong to a data set, for Folder; threads
void bind_functions(nanobind::module_& m);  ///< operations on one image
void bind_batches(nanobind::module_& m);    ///< operations on a batch of images

}  // namespace unlabel::augment::python

#include <unlabel/augment/codec/decode.h>
#include <unlabel/augment/error.h>
#include <unlabel/augment/options.h>
#include <unlabel/augment/python/bind.h>
#include <unlabel/augment/python/convert.h>

namespace unlabel::augment::python {

using namespace nb::literals;

void bind_decode(nb::module_& m) {
  // Its options are those of the library's table.
  const auto set_option = [](DecodeOptions& options, const std::string& name, nb::handle value) {
    auto fields = table(options);
    const auto* field = fields.find(name);
    if (!field) {
      std::vector<std::string> names;
      for (const auto& known : fields.fields()) names.push_back(known.name);
      throw nb::type_error(
          concat("DecodeOptions has no '", name, "'", did_you_mean(name, names), ", but ", joined(names, ", "))
              .c_str());
    }
    field->set(json_from(value));
  };
  auto decode_options = nb::class_<DecodeOptions>(m, "DecodeOptions", "How encoded images become pixels.");
  decode_options
      .def(
          "__init__",
          [set_option](DecodeOptions* made, const nb::args& positional, const nb::kwargs& options) {
            if (positional.size() > 0) throw nb::type_error("DecodeOptions takes its options by name: strict=True");
            DecodeOptions values;
            for (const auto& [name, value] : options) set_option(values, nb::cast<std::string>(name), value);
            new (made) DecodeOptions(values);
          },
          nb::sig("def __init__(self, *, exif_orientation: bool = False, max_pixels: int = 178956970, strict: bool = "
                  "False, range: tuple[float, float] | None = None) -> None"))
      .def("__repr__",
           [](DecodeOptions options) {
             std::vector<std::string> values;
             const auto fields = table(options);
             for (const auto& field : fields.fields())
               values.push_back(concat(field.name, "=", nb::repr(object_from(field.get())).c_str()));
             return concat("DecodeOptions(", joined(values, ", "), ")");
           })
      .def("__getstate__", [](DecodeOptions options) { return table(options).to_json().dump(); })
      .def("__setstate__", [](DecodeOptions& options, const std::string& state) {
        table(*new (&options) DecodeOptions).from_json(json_of(state, "the state"), "DecodeOptions");
      });
  DecodeOptions defaults;
  const auto fields_of_defaults = table(defaults);
  for (const auto& field : fields_of_defaults.fields())
    decode_options.def_prop_rw(
        field.name.c_str(),
        [name = field.name](DecodeOptions options) { return object_from(table(options).find(name)->get()); },
        [name = field.name, set_option](DecodeOptions& options, nb::handle value) { set_option(options, name, value); },
        nb::for_setter(nb::arg("value").none()), field.help.c_str());

  m.def(
      "decode",
      [](nb::handle data, const DecodeOptions& options) {
        const Image from = image_from(data, options);
        DecodeReport report;
        auto image = array_of(unlocked([&] { return decode(from.source, options, &report); }));
        warn_of(report);
        return image;
      },
      "data"_a, nb::arg("options").sig("DecodeOptions()") = DecodeOptions(),
      "An image (bytes of a file, its path, or an array) as uint8 RGB, [height, width, 3].");
}

}  // namespace unlabel::augment::python

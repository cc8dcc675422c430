#include <unlabel/augment/error.h>
#include <unlabel/eval/report/report.h>

#include <cstdio>

namespace unlabel::eval {

Report classification_report(const std::string& metric, const std::string& name, const std::string& settings,
                             const ClassificationResult& result) {
  const auto& [accuracy, top5, protocol, train, test, classes, skipped, unknown, tied, seconds] = result;
  const bool mostly_tied = tied > test / 2;
  Report report;
  report.json = {{"metric", metric},
                 {"value", accuracy},
                 {"top5", or_null(top5)},
                 {"protocol", protocol},
                 {"counts",
                  {{"train", train},
                   {"test", test},
                   {"classes", classes},
                   {"skipped", skipped},
                   {"unknown", unknown.images},
                   {"tied", tied}}},
                 {"unknown_classes", unknown.names},
                 {"seconds", seconds}};
  report.text = concat(
      name, " ", percent(accuracy), " (", protocol, ": ", settings, "; ", train, " train, ", test, " test",
      unknown.images > 0 ? concat(" (", unknown.images, " of classes without training images)") : "", ", ", classes,
      classes == 1 ? " class" : " classes", mostly_tied ? concat("; ", tied, " tied") : "", left_out(skipped), ")");
  if (unknown.images > 0) report.warnings.push_back(unknown_classes(unknown, test));
  if (classes == 1)
    report.warnings.emplace_back("the training images have a single class: there is nothing to distinguish");
  if (mostly_tied)
    report.warnings.push_back(
        concat(tied, " of ", test,
               " test images have several classes of equal score, or only equally near neighbors, "
               "and were given the first in order: the features hardly distinguish images"));
  if (skipped > 0) report.warnings.push_back(concat(skipped, " broken images are left out of the measurement"));
  return report;
}

nlohmann::json or_null(const std::optional<double>& value) {
  return value ? nlohmann::json(*value) : nlohmann::json(nullptr);
}

std::string left_out(std::int64_t skipped) {
  return skipped > 0 ? concat("; ", skipped, " broken images left out") : "";
}

std::string percent(double fraction) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f %%", 100 * fraction);
  return text;
}

}  // namespace unlabel::eval

#include <unlabel/augment/error.h>
#include <unlabel/eval/report/report.h>

#include <nlohmann/json.hpp>

#include <cstdio>
#include <optional>

namespace unlabel::eval {
namespace {

nlohmann::json or_null(const std::optional<double>& value) {
  return value ? nlohmann::json(*value) : nlohmann::json(nullptr);
}

template <class Result>
nlohmann::json common(const char* metric, const Result& result) {
  return {{"metric", metric},
          {"value", result.accuracy},
          {"top5", or_null(result.accuracy_top5)},
          {"protocol", result.protocol},
          {"counts",
           {{"train", result.train_images},
            {"test", result.test_images},
            {"classes", result.classes},
            {"unknown", result.unknown.images},
            {"tied", result.tied}}},
          {"unknown_classes", result.unknown.names},
          {"seconds", result.seconds}};
}

template <class Result>
std::string counts(const Result& result) {
  return concat(
      result.train_images, " train, ", result.test_images, " test",
      result.unknown.images > 0 ? concat(" (", result.unknown.images, " of classes that training lacks)") : "", ", ",
      result.classes, result.classes == 1 ? " class" : " classes",
      result.tied > result.test_images / 2 ? concat("; ", result.tied, " of equal scores") : "");
}

template <class Result>
std::vector<std::string> common_doubts(const Result& result, std::int64_t skipped) {
  std::vector<std::string> all;
  if (auto sentence = unknown_classes(result.unknown, result.test_images); !sentence.empty())
    all.push_back(std::move(sentence));
  if (result.classes == 1)
    all.emplace_back("the training images are of one class only: there is nothing to tell apart");
  if (result.tied > result.test_images / 2)
    all.push_back(
        concat(result.tied, " of ", result.test_images,
               " test images have equal scores for several classes, or equally near neighbors only, and got the "
               "first in order: the features hardly tell images apart"));
  if (skipped > 0) all.push_back(concat(skipped, " broken images are left out of the figure"));
  return all;
}

}  // namespace

std::vector<std::string> doubts(const KnnResult& result) {
  auto all = common_doubts(result, result.skipped);
  if (result.k < result.k_asked)
    all.push_back(concat("k is ", result.k, " and not ", result.k_asked, ", as there are no more training images"));
  return all;
}

std::vector<std::string> doubts(const LogisticResult& result) {
  auto all = common_doubts(result, result.skipped);
  if (!result.converged)
    all.push_back(concat("the logistic regression did not converge in ", result.iterations,
                         " iterations; give a larger --features.max-iterations"));
  return all;
}

std::vector<std::string> doubts(const LinearProbeResult& result) { return common_doubts(result, 0); }

std::string left_out(std::int64_t skipped) {
  return skipped > 0 ? concat("; ", skipped, " broken images left out") : "";
}

nlohmann::json to_json(const KnnResult& result) {
  auto json = common("knn_accuracy", result);
  json["counts"]["skipped"] = result.skipped;
  json["k"] = result.k;
  json["k_asked"] = result.k_asked;
  json["temperature"] = result.temperature;
  return json;
}

nlohmann::json to_json(const LogisticResult& result) {
  auto json = common("linear_accuracy", result);
  json["counts"]["skipped"] = result.skipped;
  json["l2"] = result.l2;
  json["train_accuracy"] = result.train_accuracy;
  json["loss"] = result.loss;
  json["iterations"] = result.iterations;
  json["converged"] = result.converged;
  return json;
}

nlohmann::json to_json(const LinearProbeResult& result) {
  auto json = common("linear_accuracy", result);
  json["counts"]["skipped"] = 0;
  json["epochs"] = result.epochs;
  json["batch_size"] = result.batch_size;
  json["lr"] = result.lr;
  json["best_epoch"] = result.best_epoch;
  json["last_value"] = result.last_accuracy;
  json["last_top5"] = or_null(result.last_accuracy_top5);
  return json;
}

std::string describe(const KnnResult& result) {
  return concat(
      "kNN ", percent(result.accuracy), " (", result.protocol, ": k ", result.k,
      result.k < result.k_asked ? concat(" of ", result.k_asked, ", as there are no more training images") : "", ", T ",
      result.temperature, "; ", counts(result), left_out(result.skipped), ")");
}

std::string describe(const LogisticResult& result) {
  return concat("linear ", percent(result.accuracy), " (", result.protocol, ": logistic regression, l2 ", result.l2,
                ", ", result.iterations, " iterations", result.converged ? "" : ", not converged", "; ", counts(result),
                left_out(result.skipped), ")");
}

std::string describe(const LinearProbeResult& result) {
  return concat("linear ", percent(result.accuracy), " (", result.protocol, ": best epoch, ", result.best_epoch + 1,
                " of ", result.epochs, "; last epoch ", percent(result.last_accuracy), "; ", counts(result), ")");
}

std::string percent(double fraction) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f %%", 100 * fraction);
  return text;
}

}  // namespace unlabel::eval

#include <unlabel/augment/error.h>
#include <unlabel/eval/report.h>

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
          {"counts", {{"train", result.train_images}, {"test", result.test_images}, {"classes", result.classes}}},
          {"seconds", result.seconds}};
}

template <class Result>
std::string counts(const Result& result) {
  return concat(result.train_images, " train, ", result.test_images, " test, ", result.classes,
                result.classes == 1 ? " class" : " classes");
}

}  // namespace

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

#pragma once

#include <unlabel/eval/labels.h>
#include <unlabel/eval/protocol.h>

#include <cstdint>
#include <string>

namespace unlabel::eval {

/// The report of a classification: "kNN 81.30 % (dino: k 20, T 0.07; 60000 train, 10000 test, 10 classes)", for the `name` "kNN" and the
/// `settings` "k 20, T 0.07". Its JSON has `metric`, value, top5 (null with up to five classes), protocol, seconds, unknown_classes and
/// counts {train, test, classes, skipped, unknown, tied}; the caller adds what is particular to the protocol. Warnings: classes without
/// training images, a single class, ties, images left out.
Report classification_report(const std::string& metric, const std::string& name, const std::string& settings,
                             const ClassificationResult& result);

/// A number, or null.
nlohmann::json or_null(const std::optional<double>& value);

/// A fraction of 1 as "81.30 %".
std::string percent(double fraction);

/// "; 3 broken images left out", the end of such a line; empty when there are none.
std::string left_out(std::int64_t skipped);

}  // namespace unlabel::eval

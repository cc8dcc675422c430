#pragma once

#include <unlabel/eval/protocols/knn.h>
#include <unlabel/eval/protocols/linear.h>

#include <nlohmann/json_fwd.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace unlabel::eval {

/// One object a result: {"metric", "value", "protocol", "counts": {"train", "test", "classes", "skipped", "unknown", "tied"}, "seconds",
/// ...} and what the figure depends on (k, temperature; l2, converged; epochs, best_epoch). Values are fractions of 1;
/// top-5 is null where there are no more than five classes.
nlohmann::json to_json(const KnnResult& result);
nlohmann::json to_json(const LogisticResult& result);
nlohmann::json to_json(const LinearProbeResult& result);

/// What a person reads, on one line: "kNN 81.30 % (dino: k 20, T 0.07; 60000 train, 10000 test, 10 classes)". Says when
/// k was lowered, when a fit did not converge, and which epoch a probe's figure is of.
std::string describe(const KnnResult& result);
std::string describe(const LogisticResult& result);
std::string describe(const LinearProbeResult& result);

/// What makes a figure doubtful, a sentence each: test images of classes that training lacks, images that only an order decided, one class
/// alone, fewer neighbors than the protocol has, a fit that did not converge, images left out.
std::vector<std::string> doubts(const KnnResult& result);
std::vector<std::string> doubts(const LogisticResult& result);
std::vector<std::string> doubts(const LinearProbeResult& result);

/// A fraction of 1 as "81.30 %".
std::string percent(double fraction);

/// "; 3 broken images left out", to end such a line with; empty when there are none.
std::string left_out(std::int64_t skipped);

}  // namespace unlabel::eval

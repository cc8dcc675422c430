#pragma once
#include <opencv2/core/mat.hpp>
#include <variant>
namespace unlabel::augment {
using Step = std::variant<std::monostate>;
using Drawn = std::variant<std::monostate>;
}

#pragma once

namespace unlabel::augment {

/// Several lambdas as one visitor: `std::visit(Overloaded{[](const A&) {...}, [](const B&) {...}}, variant)`.
template <class... Functions>
struct Overloaded : Functions... {
  using Functions::operator()...;
};
// C++20 needs no guide; clang 14, whose clang-tidy reads this, does.
template <class... Functions>
Overloaded(Functions...) -> Overloaded<Functions...>;

}  // namespace unlabel::augment

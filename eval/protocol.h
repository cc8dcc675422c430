#pragma once

#include <unlabel/augment/any_options.h>
#include <unlabel/eval/features.h>

#include <nlohmann/json.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace unlabel::eval {

/// What an evaluation reports.
struct Report {
  nlohmann::json json;  ///< {"metric", "value", "protocol", "counts": {...}, "seconds", ...}; accuracies from 0 to 1
  std::string text;     ///< one line for people: "kNN 81.30 % (dino: k 20, T 0.07; 60000 train, ...)"
  std::vector<std::string> warnings{};  ///< what makes the value doubtful, one sentence each
};

/// What a protocol runs with, besides its options.
struct ProtocolContext {
  const ssl::Group& group;
  FeatureOptions features{};  ///< how images are read and encoded; `device` is where everything is computed
  std::uint64_t seed = 0;
  /// Takes a line on the progress, for people; called on every rank.
  std::function<void(const std::string&)> progress = [](const std::string&) {};
};

/// What a protocol that reads images itself runs on: the encoder, whose mode (train or eval) and weights it must leave as they are; the
/// data sets; and the evaluation view, that of test images.
struct ProtocolImages {
  ssl::Encoder& encoder;
  std::shared_ptr<const data::Dataset> train, test;
  augment::MultiCrop view;
};

/// An evaluation protocol: one of the library (protocols.h), or a program's own.
///
/// It runs either on features, which its caller computes once, or on images. All ranks run it together, and every rank gets the report.
struct ProtocolSpec {
  std::string command;      ///< the subcommand that runs it: "knn", "linear"
  std::string name;         ///< as users write it: "dino" of --protocol dino
  std::string description;  ///< one line for help texts: its settings, and the paper
  std::string
      section;  ///< prefix of its options: "swav" for --swav.epochs; empty for --k. Protocols of one section have options of the same type
  AnyOptions options{};
  /// Throws UsageError for options out of range, before anything is read. May be null.
  std::function<void(const AnyOptions&)> check{};
  /// One of these two; the other is null.
  std::function<Report(const AnyOptions&, const Features& train, const Features& test, const ProtocolContext&)>
      run_on_features{};
  std::function<Report(const AnyOptions&, const ProtocolImages&, const ProtocolContext&)> run_on_images{};
};

}  // namespace unlabel::eval

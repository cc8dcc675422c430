// unlabel with one method more, which learns from text: vectors of words from lines, by InfoNCE over two crops of a line.

#include <unlabel/augment/random.h>
#include <unlabel/data/io/files.h>
#include <unlabel/launch/program.h>
#include <unlabel/ssl/layers/gather.h>
#include <unlabel/ssl/layers/l2_normalize.h>
#include <unlabel/ssl/losses/info_nce.h>
#include <unlabel/ssl/planning/plan_builder.h>
#include <unlabel/ssl/weights/weights.h>

#include <torch/nn.h>
#include <torch/types.h>

#include <fstream>

using namespace unlabel;

namespace {

/// The lines of DIR/lines.txt: the data format `lines:DIR`.
class Lines : public data::Dataset {
 public:
  explicit Lines(const std::string& directory) : path_(directory + "/lines.txt") {
    std::ifstream file(path_);
    if (!file) throw UsageError(path_, " cannot be read: a folder of lines has a file lines.txt");
    for (std::string line; std::getline(file, line);) lines_.push_back(line);
  }
  std::int64_t size() const override { return static_cast<std::int64_t>(lines_.size()); }
  void read(std::int64_t index, data::RawSample& out) const override {
    const auto& line = lines_.at(static_cast<std::size_t>(index));
    out.bytes.assign(line.begin(), line.end());
    out.pixels.release();
  }
  std::int64_t label(std::int64_t) const override { return -1; }
  const std::vector<std::string>& class_names() const override { return no_classes_; }
  std::string name(std::int64_t index) const override { return concat("lines.txt:", index + 1); }
  void for_each_file(const std::function<void(std::string_view, std::uint64_t)>& visit) const override {
    std::uint64_t bytes = 0;
    for (const auto& line : lines_) bytes += line.size() + 1;
    visit("lines.txt", bytes);
  }
  std::string description() const override { return concat(path_, ": ", size(), " lines"); }

 private:
  std::string path_;
  std::vector<std::string> lines_;
  std::vector<std::string> no_classes_;
};

data::Format lines_format() {
  data::Format format;
  format.name = "lines";
  format.content = "a file lines.txt";
  format.open = [](const std::string& directory, data::Split) { return std::make_shared<Lines>(directory); };
  format.has = [](const std::string& directory, data::Split split) {
    return split == data::Split::kTrain && data::exists(directory + "/lines.txt");
  };
  return format;
}

struct WordsOptions {
  std::int64_t vocabulary = 256, crop = 4;
  double temperature = 0.1;
  std::string teacher;
};
OptionTable table(WordsOptions& o) {
  OptionTable t;
  t.add("vocabulary", o.vocabulary, "words are hashed to so many ids");
  t.add("crop", o.crop, "words of a crop");
  t.add("temperature", o.temperature, "of InfoNCE");
  t.add("teacher", o.teacher, "an encoder.safetensors to stay near to");
  return t;
}

/// Two crops of a line, each of consecutive words.
class TwoCrops : public data::SampleTransform {
 public:
  explicit TwoCrops(const WordsOptions& options)
      : options_(options),
        arrays_{{"token_ids", data::ElementType::kInt64, {2, options.crop}},
                {"mask", data::ElementType::kUInt8, {2, options.crop}}} {}

  const std::vector<data::ArraySpec>& arrays() const override { return arrays_; }

  void operator()(const data::RawSample& line, const augment::ViewKey& key, std::span<void* const> rows,
                  augment::DecodeReport&) const override {
    std::vector<std::int64_t> words;
    std::string word;
    const auto end_word = [&] {
      data::Fingerprint hash;
      hash.add(word);
      if (!word.empty())
        words.push_back(static_cast<std::int64_t>(hash.value() % static_cast<std::uint64_t>(options_.vocabulary)));
      word.clear();
    };
    for (const auto byte : line.bytes) byte == ' ' ? end_word() : word.push_back(static_cast<char>(byte));
    end_word();
    if (words.empty()) throw Error("a line without words");

    const auto length = std::min<std::int64_t>(options_.crop, static_cast<std::int64_t>(words.size()));
    augment::Random random(key);
    for (std::int64_t crop = 0; crop < 2; ++crop) {
      auto* const ids = static_cast<std::int64_t*>(rows[0]) + crop * options_.crop;
      auto* const mask = static_cast<std::uint8_t*>(rows[1]) + crop * options_.crop;
      const std::int64_t first = random.below(static_cast<std::uint32_t>(words.size() - length + 1));
      for (std::int64_t i = 0; i < options_.crop; ++i) {
        ids[i] = i < length ? words[first + i] : 0;
        mask[i] = i < length;
      }
    }
  }

  nlohmann::json to_json() const override { return {{"crops", 2}, {"words", options_.crop}}; }

 private:
  WordsOptions options_;
  std::vector<data::ArraySpec> arrays_;
};

/// The mean of word vectors.
struct WordVectors : ssl::Encoder {
  WordVectors(std::int64_t vocabulary, std::int64_t dim) {
    words = register_module("words", torch::nn::Embedding(vocabulary, dim));
  }
  ssl::EncoderOutput encode(const data::Batch& input, const ssl::OutputRequest& request = {}) override {
    const auto weights = input["mask"].to(words->weight.scalar_type()).unsqueeze(-1);
    const auto tokens = words(input["token_ids"]);
    ssl::EncoderOutput output;
    output.pooled = (tokens * weights).sum(-2) / weights.sum(-2);
    if (request.tokens) output.tokens = tokens;
    return output;
  }
  std::int64_t feature_dim() const override { return words->options.embedding_dim(); }

  torch::nn::Embedding words{nullptr};
};

struct Words : ssl::Method {
  Words(const WordsOptions& options, const ssl::MethodContext& context)
      : options(options), group(context.group), backbone(new_encoder(context)) {
    register_module("backbone", backbone);
    if (options.teacher.empty()) return;
    teacher = new_encoder(context);
    ssl::load_state(*teacher, ssl::read_safetensors(options.teacher).tensors, {.source = options.teacher});
  }

  static std::shared_ptr<const data::SampleTransform> sample_transform(const WordsOptions& options) {
    return std::make_shared<TwoCrops>(options);
  }

  std::vector<std::shared_ptr<torch::nn::Module>> frozen_modules() override {
    return teacher ? std::vector<std::shared_ptr<torch::nn::Module>>{teacher}
                   : std::vector<std::shared_ptr<torch::nn::Module>>();
  }

  ssl::Loss loss(const ssl::Batch& batch, const ssl::Step&) override {
    at::Tensor z[2];
    ssl::Loss loss;
    auto distance = at::zeros({}, backbone->words->weight.options());
    for (const int crop : {0, 1}) {
      const ssl::Batch words{
          {{"token_ids", batch["token_ids"].select(1, crop)}, {"mask", batch["mask"].select(1, crop)}}, batch.indices};
      const auto pooled = backbone->encode(words).pooled;
      z[crop] = ssl::l2_normalize(pooled);
      if (teacher) distance = distance + (pooled - teacher->encode(words).pooled).square().mean();
    }
    const auto rows = z[0].size(0);
    const auto targets = torch::arange(rows, batch.indices.options()) + group->rank() * rows;
    loss.value =
        ssl::info_nce(z[0].matmul(ssl::gather_with_gradient(z[1], group).t()), targets, options.temperature).loss +
        0.1 * distance;
    loss.diagnostics = {{"distance", distance.detach()}};
    loss.embeddings = z[0].detach();
    return loss;
  }

  ssl::Encoder& encoder() override { return *backbone; }

  std::shared_ptr<WordVectors> new_encoder(const ssl::MethodContext& context) const {
    return std::make_shared<WordVectors>(options.vocabulary, context.encoder.width);
  }

  WordsOptions options;
  std::shared_ptr<const ssl::Group> group;
  std::shared_ptr<WordVectors> backbone;
  std::shared_ptr<WordVectors> teacher;  // not registered: it is used, and neither trained nor saved
};

ssl::Plan plan_words(const ssl::PlanInput& input) {
  ssl::PlanBuilder plan(input);
  plan.choose<std::string>("encoder.arch", "word_vectors", "the method's");
  plan.choose<std::int64_t>("encoder.width", 16, "few words");
  const auto batch = plan.batch_size();
  plan.epochs();
  plan.optimizer("sgd");
  plan.proportional_lr(1, batch);
  return plan.take();
}

ssl::EncoderSpec word_vectors() {
  ssl::EncoderSpec spec;
  spec.name = "word_vectors";
  spec.make = [](const ssl::EncoderOptions& options) -> std::shared_ptr<ssl::Encoder> {
    return std::make_shared<WordVectors>(WordsOptions().vocabulary, options.width);
  };
  spec.facts = {.features_per_width = 1, .residual = false, .inputs = {"token_ids", "mask"}};
  return spec;
}

}  // namespace

int main(int count, char** values) {
  return launch::program(count, values,
                         {.methods = {ssl::method_spec<Words, WordsOptions>("words", {.plan = plan_words})},
                          .encoders = {word_vectors()},
                          .formats = {lines_format()}});
}

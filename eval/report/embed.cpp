#include <unlabel/augment/error.h>
#include <unlabel/augment/json_text.h>
#include <unlabel/augment/system_error.h>
#include <unlabel/data/io/atomic_file.h>
#include <unlabel/data/io/files.h>
#include <unlabel/eval/report/embed.h>
#include <unlabel/ssl/weights/safetensors.h>

#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <torch/types.h>

#include <algorithm>
#include <filesystem>
#include <optional>

namespace unlabel::eval {

namespace {

namespace fs = std::filesystem;

/// The files of one embedding.
struct Places {
  std::string features, labels, rows;
  bool npy = false;
};

/// The line of a sample, without fields that are null.
std::string row_line(const nlohmann::json& name, const nlohmann::json& label, const nlohmann::json& class_name) {
  nlohmann::ordered_json line;
  line["name"] = name;
  if (!label.is_null()) line["label"] = label;
  if (!class_name.is_null()) line["class"] = class_name;
  return json_line(line) + "\n";
}

/// Whether the first line of a file is exactly what row_line makes of its fields.
bool are_rows(const std::string& path) {
  constexpr std::size_t kLongest = 1 << 16;
  const auto file = data::open_file(AT_FDCWD, path.c_str(), path);
  std::string line(std::min<std::uint64_t>(file.size, kLongest), '\0');
  data::read_at(file.fd, 0, line.data(), line.size(), path);
  line.resize(std::min(line.size(), line.find('\n') + 1));  // npos + 1 is 0
  const auto row = try_parse_json(line);
  return row && row->is_object() && row->value("name", nlohmann::json()).is_string() &&
         line ==
             row_line(row->at("name"), row->value("label", nlohmann::json()), row->value("class", nlohmann::json()));
}

Places places_of(const std::string& path) {
  const fs::path file(path);
  const auto suffix = file.extension().string();
  if (suffix != ".npy" && suffix != ".safetensors")
    throw UsageError("embeddings are written to a .npy or a .safetensors file, not to '", path, "'");
  const auto stem = (file.parent_path() / file.stem()).string();
  Places places{path, stem + ".labels.npy", stem + ".jsonl", suffix == ".npy"};
  const bool rows =
      data::exists(places.rows) && as_usage_error("", "; choose another place", [&] { return are_rows(places.rows); });
  const bool embedded = rows && (data::exists(stem + ".npy") || data::exists(stem + ".safetensors"));
  for (const auto& beside : {places.rows, places.labels})
    if (!embedded && (places.npy || beside == places.rows) && data::exists(beside))
      throw UsageError(beside, " does not belong to embeddings in ", path,
                       ", and would be replaced; move it, or choose another name");
  return places;
}

}  // namespace

std::vector<std::string> require_embedding_output(const std::string& path) {
  const auto places = places_of(path);
  std::vector<std::string> files{places.features, places.rows};
  if (places.npy) files.push_back(places.labels);
  for (const auto& place : files) as_usage_error("", "; choose another place", [&] { data::require_writable(place); });
  return files;
}

std::vector<std::string> write_embeddings(const std::string& path, const Features& features,
                                          const data::Dataset& dataset) {
  const auto places = places_of(path);
  const bool labeled = features.size() > 0 && (features.labels >= 0).any().item<bool>();

  const auto index_values = features.indices.contiguous(), label_values = features.labels.contiguous();
  const auto* indices = index_values.const_data_ptr<std::int64_t>();
  const auto* labels = label_values.const_data_ptr<std::int64_t>();
  std::string rows;
  for (std::int64_t row = 0; row < features.size(); ++row) {
    const auto label = labels[row];
    const bool named = label >= 0 && label < static_cast<std::int64_t>(features.class_names.size());
    rows += row_line(dataset.name(indices[row]), label >= 0 ? nlohmann::json(label) : nlohmann::json(),
                     named ? nlohmann::json(features.class_names[label]) : nlohmann::json());
  }

  std::vector<std::string> written{path};
  data::AtomicFile values(path), names(places.rows);
  std::optional<data::AtomicFile> label_file;
  std::vector<data::AtomicFile*> files{&values};
  if (places.npy) {
    write_npy(values, features.values);
    if (labeled) {
      files.push_back(&label_file.emplace(written.emplace_back(places.labels)));
      write_npy(*label_file, features.labels);
    }
  } else {
    ssl::TensorFile tensors;
    tensors.tensors.emplace_back("features", features.values);
    if (labeled) tensors.tensors.emplace_back("labels", features.labels);
    ssl::write_safetensors(values, tensors, path);
  }
  names.write(rows);
  written.push_back(places.rows);
  files.push_back(&names);
  data::commit_all(files);
  std::error_code ignored;
  if (places.npy && !labeled) fs::remove(places.labels, ignored);  // those of earlier embeddings
  return written;
}

namespace {

const char* type_name(at::ScalarType type) {
  if (type == torch::kFloat32) return "<f4";
  if (type == torch::kFloat64) return "<f8";
  if (type == torch::kInt64) return "<i8";
  throw UsageError("a .npy file holds float32, float64 or int64, not ", type);
}

// Magic, version, length of the header, and a Python dictionary padded with spaces to a multiple of 64 bytes.
std::string header(const at::Tensor& tensor) {
  auto text = concat("{'descr': '", type_name(tensor.scalar_type()), "', 'fortran_order': False, 'shape': (");
  for (const auto size : tensor.sizes()) text += std::to_string(size) + ", ";
  text += "), }";
  text.append((64 - (10 + text.size() + 1) % 64) % 64, ' ');
  text += '\n';
  std::string result("\x93NUMPY\x01\x00", 8);
  result += static_cast<char>(text.size() & 0xff);
  result += static_cast<char>(text.size() >> 8);
  return result + text;
}

}  // namespace

void write_npy(const std::string& path, const at::Tensor& tensor) {
  data::AtomicFile file(path);
  write_npy(file, tensor);
  file.commit();
}

void write_npy(data::AtomicFile& file, const at::Tensor& tensor) {
  const auto data = tensor.detach().cpu().contiguous();
  file.write(header(data));
  file.write(data.const_data_ptr(), data.nbytes());
}

}  // namespace unlabel::eval

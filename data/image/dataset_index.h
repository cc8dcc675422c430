#pragma once

#include <nlohmann/json.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <type_traits>
#include <vector>

// How a data set's index travels from the rank that opened it to the others (Dataset::index).

namespace unlabel::data {

/// A JSON value, which may hold binary parts, as compressed CBOR.
std::string pack_index(const nlohmann::json& value);

/// The other way. Throws Error for what pack_index did not make; no more memory is taken than what can be in there.
nlohmann::json unpack_index(const std::string& index);

/// An array of plain numbers or structs as a binary part, in this machine's byte order.
template <class Item>
nlohmann::json binary_of(const std::vector<Item>& items) {
  static_assert(std::is_trivially_copyable_v<Item>);
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(items.data());
  return nlohmann::json::binary(std::vector<std::uint8_t>(bytes, bytes + items.size() * sizeof(Item)));
}

template <class Item>
std::vector<Item> from_binary(const nlohmann::json& value) {
  static_assert(std::is_trivially_copyable_v<Item>);
  const auto& bytes = value.get_binary();
  std::vector<Item> items(bytes.size() / sizeof(Item));
  std::memcpy(items.data(), bytes.data(), items.size() * sizeof(Item));
  return items;
}

/// Texts of any bytes, which JSON's are not, as a binary part.
nlohmann::json joined_texts(const std::vector<std::string>& texts);
std::vector<std::string> split_texts(const nlohmann::json& value);

/// Up to 16 of `count` things, evenly spaced, the first and the last among them.
std::vector<std::size_t> sampled_places(std::size_t count);

/// Throws MismatchError when the file has not `size` bytes. One that is missing counts as one without bytes, as a link to nowhere does.
void require_same_size(int folder, const std::string& path, const std::string& root, std::uint64_t size);

}  // namespace unlabel::data

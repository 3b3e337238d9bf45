#include "fields.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdlib>

#include "problem.h"

namespace pocketgan {
namespace {

bool is_alphanumeric(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

std::optional<std::int64_t> as_integer(const json::Value& value) {
    if (value.kind != json::Kind::number || value.text.find_first_of(".eE") != std::string::npos) return {};
    errno = 0;
    const long long parsed = std::strtoll(value.text.c_str(), nullptr, 10);
    if (errno != 0) return {};
    return parsed;
}

}  // namespace

bool is_name(std::string_view text) {
    return !text.empty() && text.size() <= 128 && is_alphanumeric(text[0]) &&
           std::all_of(text.begin(), text.end(),
                       [](char c) { return is_alphanumeric(c) || c == '.' || c == '_' || c == '-'; });
}

bool added_later(const json::Value& value, std::string_view field, int known_minor, const std::string& where) {
    const json::Value* version = value.find(field);
    if (version == nullptr) return false;  // the default, which is a version that is known
    const std::string& text = version->text;
    const std::string minor = text.size() > 2 ? text.substr(2) : "";
    const bool ours = version->kind == json::Kind::text && text.compare(0, 2, "1.") == 0 && !minor.empty() &&
                      minor.size() <= 4 && minor.find_first_not_of("0123456789") == std::string::npos;
    if (!ours) {
        throw Problem(where + " has " + std::string(field) + " " + json::to_text(*version) +
                      ", this runner reads 1.x; use the runner and the pocketgan of one release");
    }
    return std::atoi(minor.c_str()) > known_minor;
}

Fields::Fields(const json::Value& value, std::string where, bool added_later)
    : value_(value), where_(std::move(where)), added_later_(added_later) {
    if (value.kind != json::Kind::object) throw Problem(where_ + " is no record");
}

void Fields::fail(std::string_view name, const std::string& why) const {
    throw Problem(where_ + ": " + std::string(name) + " " + why);
}

const json::Value* Fields::take(std::string_view name) {
    taken_.emplace_back(name);
    const json::Value* found = value_.find(name);
    return found == nullptr || found->kind == json::Kind::null ? nullptr : found;
}

const json::Value& Fields::needed(std::string_view name) {
    const json::Value* found = take(name);
    if (found == nullptr) fail(name, "is missing");
    return *found;
}

std::string Fields::text(std::string_view name) {
    const json::Value& value = needed(name);
    if (value.kind != json::Kind::text) fail(name, "is no text");
    return value.text;
}

std::string Fields::text(std::string_view name, std::string_view otherwise) {
    if (is_there(name)) return text(name);
    taken_.emplace_back(name);
    return std::string(otherwise);
}

std::string Fields::name(std::string_view name) {
    std::string found = text(name);
    if (!is_name(found)) fail(name, json::quote(found) + " is no name");
    return found;
}

std::string Fields::sha256(std::string_view name) {
    std::string found = text(name);
    if (found.size() != 64 || found.find_first_not_of("0123456789abcdef") != std::string::npos) {
        fail(name, json::quote(found) + " is no SHA-256");
    }
    return found;
}

std::string Fields::one_of(std::string_view name, const std::vector<std::string>& choices, std::string_view otherwise) {
    std::string found = text(name, otherwise);
    if (std::find(choices.begin(), choices.end(), found) == choices.end()) {
        fail(name, json::quote(found) + " is not known to this runner");
    }
    return found;
}

std::int64_t Fields::integer(std::string_view name, std::int64_t least, std::optional<std::int64_t> otherwise) {
    if (!is_there(name) && otherwise) {
        taken_.emplace_back(name);
        return *otherwise;
    }
    const auto parsed = as_integer(needed(name));
    if (!parsed || *parsed < least) fail(name, "is no whole number of at least " + std::to_string(least));
    return *parsed;
}

std::optional<std::int64_t> Fields::optional_integer(std::string_view name, std::int64_t least,
                                                     std::optional<std::int64_t> otherwise) {
    if (!is_there(name)) {
        taken_.emplace_back(name);
        return otherwise;
    }
    if (take(name) == nullptr) return {};
    return integer(name, least);
}

std::optional<double> Fields::optional_number(std::string_view name) {
    const json::Value* found = take(name);
    if (found == nullptr) return {};
    const double parsed = found->kind == json::Kind::number ? std::strtod(found->text.c_str(), nullptr) : NAN;
    if (!std::isfinite(parsed)) fail(name, "is no number");
    return parsed;
}

double Fields::number(std::string_view name, double otherwise) {
    if (is_there(name) && take(name) == nullptr) fail(name, "is no number");
    return optional_number(name).value_or(otherwise);
}

bool Fields::boolean(std::string_view name) {
    const json::Value& value = needed(name);
    if (value.kind != json::Kind::boolean) fail(name, "is neither true nor false");
    return value.flag;
}

bool Fields::boolean(std::string_view name, bool otherwise) {
    if (is_there(name)) return boolean(name);
    taken_.emplace_back(name);
    return otherwise;
}

void Fields::each(std::string_view name, bool may_be_empty,
                  const std::function<void(const json::Value&, const std::string&)>& take_one) {
    const json::Value* found = may_be_empty ? take(name) : &needed(name);
    if (found == nullptr) return;
    if (found->kind != json::Kind::array) fail(name, "is no list");
    if (found->items.empty() && !may_be_empty) fail(name, "is empty");
    for (std::size_t i = 0; i < found->items.size(); ++i) {
        take_one(found->items[i], where_ + ": " + std::string(name) + "." + std::to_string(i));
    }
}

std::vector<std::int64_t> Fields::shape(std::string_view name) {
    const json::Value& value = needed(name);
    std::vector<std::int64_t> shape;
    if (value.kind != json::Kind::array || value.items.size() > 16) fail(name, "is no shape");
    for (const json::Value& item : value.items) {
        const auto size = as_integer(item);
        if (!size || *size < 1 || *size > (1 << 20)) fail(name, "is no shape");
        shape.push_back(*size);
    }
    return shape;
}

std::vector<std::int64_t> Fields::whole_numbers(std::string_view name) {
    const json::Value& value = needed(name);
    std::vector<std::int64_t> numbers;
    if (value.kind != json::Kind::array) fail(name, "is no list");
    for (const json::Value& item : value.items) {
        const auto number = as_integer(item);
        if (!number || *number < 0) fail(name, "is no list of whole numbers");
        numbers.push_back(*number);
    }
    return numbers;
}

void Fields::end() const {
    if (added_later_) return;
    for (const auto& [name, value] : value_.fields) {
        if (std::find(taken_.begin(), taken_.end(), name) == taken_.end()) fail(name, "is not known to this runner");
    }
}

}  // namespace pocketgan

// The fields of a record that somebody else wrote, each taken once by name; what is wrong is a Problem that names it.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "json.h"

namespace pocketgan {

class Fields {
 public:
    // `where` is how messages call the record. With `added_later`, a later minor version wrote it: what is not known
    // is left out.
    Fields(const json::Value& value, std::string where, bool added_later);

    std::string text(std::string_view name);
    std::string text(std::string_view name, std::string_view otherwise);
    std::string name(std::string_view name);  // as manifest.Name
    std::string sha256(std::string_view name);
    std::string one_of(std::string_view name, const std::vector<std::string>& choices, std::string_view otherwise);
    // Integers of at least `least`; `otherwise` where the field is not there.
    std::int64_t integer(std::string_view name, std::int64_t least, std::optional<std::int64_t> otherwise = {});
    std::optional<std::int64_t> optional_integer(std::string_view name, std::int64_t least,
                                                 std::optional<std::int64_t> otherwise);
    std::optional<double> optional_number(std::string_view name);
    double number(std::string_view name, double otherwise);
    bool boolean(std::string_view name);
    bool boolean(std::string_view name, bool otherwise);
    // A list of records.
    void each(std::string_view name, bool may_be_empty,
              const std::function<void(const json::Value&, const std::string&)>& take);
    std::vector<std::int64_t> shape(std::string_view name);
    // A list of whole numbers that are not negative.
    std::vector<std::int64_t> whole_numbers(std::string_view name);

    // The field, or null where it is missing or null; it counts as known.
    const json::Value* take(std::string_view name);

    // Refuses fields that nobody has taken.
    void end() const;

    [[noreturn]] void fail(std::string_view name, const std::string& why) const;
    const std::string& where() const { return where_; }
    bool added_later() const { return added_later_; }

 private:
    const json::Value& needed(std::string_view name);
    bool is_there(std::string_view name) const { return value_.find(name) != nullptr; }

    const json::Value& value_;
    std::string where_;
    bool added_later_;
    std::vector<std::string> taken_;
};

// Whether `text` is a name as manifest.Name has them: ASCII letters, digits, "._-", 128 at most.
bool is_name(std::string_view text);

// Whether a later minor version than `known_minor` of major 1 wrote the record.
// Throws Problem where it is of another major.
bool added_later(const json::Value& value, std::string_view field, int known_minor, const std::string& where);

}  // namespace pocketgan

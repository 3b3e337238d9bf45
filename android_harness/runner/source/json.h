// JSON (RFC 8259) as trees of values, read strictly and written on one line.
//
// A reader of our own: Debian's nlohmann-json lies in /usr/include, which must not be on the path of a cross compiler,
// no NDK has one, and it gives 64-bit stamps and fractions back in another form, where a Job must come back unchanged.
// Here numbers keep the text that they were written with.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pocketgan::json {

enum class Kind { null, boolean, number, text, array, object };

struct Value {
    Kind kind = Kind::null;
    bool flag = false;
    std::string text;  // of a string its content in UTF-8, of a number how it is written
    std::vector<Value> items;
    std::vector<std::pair<std::string, Value>> fields;

    // The field of that name; null where the value is no object or has none.
    const Value* find(std::string_view name) const;
};

// Throws Problem that begins with `what` where the text is no JSON, names a field twice or is nested too deeply.
// Of an object, `only` those fields are kept where some are named: a line with ten minutes of frames would fill a
// phone.
Value parse(std::string_view text, const std::string& what, const std::vector<std::string_view>& only = {});

std::string to_text(const Value& value);
std::string quote(std::string_view text);
std::string number(std::int64_t value);
std::string number(double value);  // null where it is not finite

// An object in the making; `value` is JSON already.
class Writer {
 public:
    Writer& add(std::string_view name, std::string_view value);
    std::string done() const { return "{" + text_ + "}"; }

 private:
    std::string text_;
};

// [a,b,c] of what is JSON already.
std::string list(const std::vector<std::string>& values);

}  // namespace pocketgan::json

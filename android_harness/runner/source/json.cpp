#include "json.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "problem.h"

namespace pocketgan::json {
namespace {

constexpr int most_depth = 64;

// How many bytes a well-formed UTF-8 sequence at the start of `text` has; 0 where there is none (RFC 3629).
std::size_t sequence_length(std::string_view text) {
    auto byte = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
    auto follows = [&](std::size_t i) { return (byte(i) & 0xC0u) == 0x80u; };
    const unsigned first = byte(0);
    if (first < 0x80) return 1;
    if (first >= 0xC2 && first <= 0xDF) return follows(1) ? 2 : 0;
    if (first >= 0xE0 && first <= 0xEF) {
        const bool too_long = first == 0xE0 && byte(1) < 0xA0;
        const bool surrogate = first == 0xED && byte(1) > 0x9F;
        return follows(1) && follows(2) && !too_long && !surrogate ? 3 : 0;
    }
    if (first >= 0xF0 && first <= 0xF4) {
        const bool outside = (first == 0xF0 && byte(1) < 0x90) || (first == 0xF4 && byte(1) > 0x8F);
        return follows(1) && follows(2) && follows(3) && !outside ? 4 : 0;
    }
    return 0;
}

void append_utf8(std::string& out, unsigned point) {
    if (point < 0x80) {
        out += static_cast<char>(point);
    } else if (point < 0x800) {
        out += static_cast<char>(0xC0 | (point >> 6));
        out += static_cast<char>(0x80 | (point & 0x3F));
    } else if (point < 0x10000) {
        out += static_cast<char>(0xE0 | (point >> 12));
        out += static_cast<char>(0x80 | ((point >> 6) & 0x3F));
        out += static_cast<char>(0x80 | (point & 0x3F));
    } else {
        out += static_cast<char>(0xF0 | (point >> 18));
        out += static_cast<char>(0x80 | ((point >> 12) & 0x3F));
        out += static_cast<char>(0x80 | ((point >> 6) & 0x3F));
        out += static_cast<char>(0x80 | (point & 0x3F));
    }
}

class Parser {
 public:
    Parser(std::string_view text, const std::string& what, const std::vector<std::string_view>& only)
        : text_(text), what_(what), only_(only) {}

    Value whole() {
        Value value = any(0);
        skip_space();
        if (at_ < text_.size()) fail("there is more after its end");
        return value;
    }

 private:
    [[noreturn]] void fail(const std::string& why) const {
        throw Problem(what_ + " is no JSON: " + why + " at byte " + std::to_string(at_));
    }

    char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }

    void skip_space() {
        while (at_ < text_.size() && std::string_view(" \t\r\n").find(text_[at_]) != std::string_view::npos) ++at_;
    }

    void expect(std::string_view word) {
        if (text_.substr(at_, word.size()) != word) fail("unexpected character");
        at_ += word.size();
    }

    Value any(int depth) {
        if (depth > most_depth) fail("it is nested too deeply");
        skip_space();
        Value value;
        switch (peek()) {
            case '{': return object(depth);
            case '[': return array(depth);
            case '"':
                value.kind = Kind::text;
                value.text = string();
                return value;
            case 't':
            case 'f':
                value.kind = Kind::boolean;
                value.flag = peek() == 't';
                expect(value.flag ? "true" : "false");
                return value;
            case 'n': expect("null"); return value;
            default:
                value.kind = Kind::number;
                value.text = digits_and_all();
                return value;
        }
    }

    Value object(int depth) {
        Value value;
        value.kind = Kind::object;
        expect("{");
        skip_space();
        if (peek() == '}') return ++at_, value;
        while (true) {
            skip_space();
            std::string name = string();
            if (value.find(name) != nullptr) fail("field " + name + " is there twice");
            skip_space();
            expect(":");
            const bool kept = keep_;
            const bool named = std::find(only_.begin(), only_.end(), name) != only_.end();
            keep_ = kept && (depth > 0 || only_.empty() || named);
            Value field = any(depth + 1);
            if (keep_) value.fields.emplace_back(std::move(name), std::move(field));
            keep_ = kept;
            skip_space();
            if (peek() == '}') return ++at_, value;
            expect(",");
        }
    }

    Value array(int depth) {
        Value value;
        value.kind = Kind::array;
        expect("[");
        skip_space();
        if (peek() == ']') return ++at_, value;
        while (true) {
            Value item = any(depth + 1);
            if (keep_) value.items.push_back(std::move(item));
            skip_space();
            if (peek() == ']') return ++at_, value;
            expect(",");
        }
    }

    unsigned hex4() {
        unsigned point = 0;
        for (int i = 0; i < 4; ++i, ++at_) {
            const char c = peek();
            const int digit = c >= '0' && c <= '9'   ? c - '0'
                              : c >= 'a' && c <= 'f' ? c - 'a' + 10
                              : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                                     : -1;
            if (digit < 0) fail("broken escape");
            point = point * 16 + static_cast<unsigned>(digit);
        }
        return point;
    }

    void escape(std::string& out) {
        const char c = peek();
        ++at_;
        static constexpr std::string_view names = "\"\\/bfnrt", means = "\"\\/\b\f\n\r\t";
        if (const auto found = names.find(c); c != '\0' && found != std::string_view::npos) {
            out += means[found];
            return;
        }
        if (c != 'u') fail("broken escape");
        unsigned point = hex4();
        if (point >= 0xD800 && point < 0xDC00) {
            expect("\\u");
            const unsigned low = hex4();
            if (low < 0xDC00 || low > 0xDFFF) fail("broken escape");
            point = 0x10000 + ((point - 0xD800) << 10) + (low - 0xDC00);
        } else if (point >= 0xDC00 && point <= 0xDFFF) {
            fail("broken escape");
        }
        append_utf8(out, point);
    }

    std::string string() {
        expect("\"");
        std::string out;
        while (true) {
            if (at_ >= text_.size()) fail("it ends too early");
            const char c = text_[at_];
            if (c == '"') return ++at_, out;
            if (static_cast<unsigned char>(c) < 0x20) fail("a control character");
            if (c == '\\') {
                ++at_;
                escape(out);
                continue;
            }
            const std::size_t length = sequence_length(text_.substr(at_));
            if (length == 0) fail("it is not UTF-8");
            out.append(text_.substr(at_, length));
            at_ += length;
        }
    }

    void some_digits() {
        if (peek() < '0' || peek() > '9') fail("unexpected character");
        while (peek() >= '0' && peek() <= '9') ++at_;
    }

    std::string digits_and_all() {
        const std::size_t start = at_;
        if (peek() == '-') ++at_;
        if (peek() == '0') {
            ++at_;
        } else {
            some_digits();
        }
        if (peek() == '.') {
            ++at_;
            some_digits();
        }
        if (peek() == 'e' || peek() == 'E') {
            ++at_;
            if (peek() == '+' || peek() == '-') ++at_;
            some_digits();
        }
        return std::string(text_.substr(start, at_ - start));
    }

    std::string_view text_;
    const std::string& what_;
    const std::vector<std::string_view>& only_;
    bool keep_ = true;
    std::size_t at_ = 0;
};

}  // namespace

const Value* Value::find(std::string_view name) const {
    for (const auto& [key, value] : fields) {
        if (key == name) return &value;
    }
    return nullptr;
}

Value parse(std::string_view text, const std::string& what, const std::vector<std::string_view>& only) {
    return Parser(text, what, only).whole();
}

std::string quote(std::string_view text) {
    std::string out = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\') {
            out += '\\';
            out += c;
        } else if (static_cast<unsigned char>(c) < 0x20) {
            char code[8];
            std::snprintf(code, sizeof code, "\\u%04x", static_cast<unsigned>(static_cast<unsigned char>(c)));
            out += code;
        } else {
            out += c;
        }
    }
    return out + '"';
}

std::string to_text(const Value& value) {
    switch (value.kind) {
        case Kind::null: return "null";
        case Kind::boolean: return value.flag ? "true" : "false";
        case Kind::number: return value.text;
        case Kind::text: return quote(value.text);
        case Kind::array: {
            std::vector<std::string> items;
            for (const Value& item : value.items) items.push_back(to_text(item));
            return list(items);
        }
        case Kind::object: break;
    }
    Writer writer;
    for (const auto& [name, field] : value.fields) writer.add(name, to_text(field));
    return writer.done();
}

std::string number(std::int64_t value) { return std::to_string(value); }

std::string number(double value) {
    if (!std::isfinite(value)) return "null";
    char text[40];
    std::snprintf(text, sizeof text, "%.17g", value);
    return text;
}

Writer& Writer::add(std::string_view name, std::string_view value) {
    if (!text_.empty()) text_ += ',';
    text_ += quote(name);
    text_ += ':';
    text_ += value;
    return *this;
}

std::string list(const std::vector<std::string>& values) {
    std::string out = "[";
    for (const std::string& value : values) {
        if (out.size() > 1) out += ',';
        out += value;
    }
    return out + "]";
}

}  // namespace pocketgan::json

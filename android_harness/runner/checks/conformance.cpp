// The vectors of bench/schema/conformance: a scripted clock, and what must come of it.

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <utility>

#include "checks.h"
#include "drawing.h"
#include "file_content.h"
#include "json.h"
#include "patch.h"
#include "problem.h"
#include "timing.h"

namespace pocketgan::checks {
namespace {

std::int64_t integer(const json::Value& of, const char* name) {
    return std::strtoll(of.find(name)->text.c_str(), nullptr, 10);
}

double real(const json::Value& of, const char* name) { return std::strtod(of.find(name)->text.c_str(), nullptr); }

// Stands until a frame moves it.
class ScriptedClock final : public Clock {
 public:
    std::int64_t now_ns() override { return now_; }
    void move(std::int64_t by) { now_ += by; }

 private:
    std::int64_t now_ = 1'000'000;
};

std::string warmed(const json::Value& one) {
    const json::Value& rule = *one.find("warmup");
    std::vector<std::int64_t> times;
    for (const json::Value& time : one.find("frames_ns")->items)
        times.push_back(std::strtoll(time.text.c_str(), nullptr, 10));
    ScriptedClock clock;
    std::size_t at = 0;
    const RunFrame run = [&](std::int64_t round) {
        const std::int64_t time = times[std::min(at++, times.size() - 1)];
        Frame frame{clock.now_ns(), 0, time, 0, round, {}};
        clock.move(time);
        return frame;
    };
    const WarmupRule asked{integer(rule, "iterations"), integer(rule, "window"), real(rule, "tolerance"),
                           real(rule, "timeout_s")};
    const WarmedUp came = warm_up(clock, asked, run, [](std::int64_t) {});
    return std::to_string(came.iterations) + " " + std::to_string(came.duration_ns) + " " +
           (came.steady ? "true" : "false");
}

std::string wanted_of_warm_up(const json::Value& one) {
    return one.find("iterations")->text + " " + one.find("duration_ns")->text + " " +
           json::to_text(*one.find("steady"));
}

template <typename Numbers>
std::string numbers(const Numbers& values) {
    std::vector<std::string> texts;
    for (const auto value : values) texts.push_back(std::to_string(value));
    return json::list(texts);
}

std::string turned(const json::Value& one) {
    std::vector<std::string> orders;
    for (const auto& order : turns(static_cast<std::size_t>(integer(one, "models")), integer(one, "rounds"))) {
        orders.push_back(numbers(order));
    }
    return json::list(orders);
}

template <typename Came, typename Wanted>
int compare(const std::filesystem::path& path, Came came, Wanted wanted) {
    const json::Value file = json::parse(file_content(path, 64u << 20), path.string());
    int count = 0;
    for (const json::Value& one : file.find("cases")->items) {
        const std::string there = came(one), asked = wanted(one);
        if (there != asked)
            throw Problem(path.string() + ": " + json::to_text(one) + " came to " + there + ", not " + asked);
        ++count;
    }
    return count;
}

std::string from_hex(const std::string& digits) {
    std::string bytes;
    for (std::size_t i = 0; i + 1 < digits.size(); i += 2) {
        bytes += static_cast<char>(std::stoi(digits.substr(i, 2), nullptr, 16));
    }
    return bytes;
}

std::string to_hex(const std::string& bytes) {
    std::string digits;
    char two[3];
    for (const char byte : bytes) {
        std::snprintf(two, sizeof two, "%02x", static_cast<unsigned char>(byte));
        digits += two;
    }
    return digits;
}

// What a patch makes of a file, in a folder that is emptied for it.
std::string patched_by(const json::Value& one, const std::filesystem::path& folder) {
    std::filesystem::remove_all(folder);
    std::filesystem::create_directories(folder);
    const auto write = [&](const std::string& name, const std::string& digits) {
        std::ofstream(folder / name, std::ios::binary) << from_hex(digits);
    };
    for (const auto& [name, content] : one.find("patches")->fields) write(name, content.text);
    write("model.pte", one.find("target")->text);
    try {
        const auto made =
            patched_file(folder / "model.pte", folder / one.find("patch")->text, folder / "patched");
        return to_hex(file_content(made, 64u << 20));
    } catch (const Problem&) {
        return "refused";
    }
}

std::optional<std::string> optional_text(const json::Value& of, const char* name) {
    const json::Value* found = of.find(name);
    if (found == nullptr || found->kind != json::Kind::text) return {};
    return found->text;
}

std::string quoted_or_null(const std::optional<std::string>& text) { return text ? json::quote(*text) : "null"; }

template <typename Items, typename Name>
std::string name_list(const Items& items, Name name) {
    std::vector<std::string> names;
    for (const auto& item : items) names.push_back(json::quote(name(item)));
    return json::list(names);
}

// How a concept is drawn, or how the line begins that says why not.
std::string drawn(const json::Value& one, const Manifest& manifest) {
    const Entry& entry = manifest.entry(one.find("entry")->text);
    try {
        const Drawing drawing = draw(manifest, entry, optional_text(one, "concept"));
        const auto name = optional_text(one, "component");
        const Component& component = name ? component_of(entry, name) : entry.components.front();
        const auto file_of = [](const GoldenTensor& tensor) { return tensor.file.path; };
        // A package is a folder, which this runner does not open.
        const json::Value* model = one.find("model");
        const bool is_folder = drawing.function() || entry.runtime == "coreml";
        return json::Writer()
            .add("model", is_folder ? json::to_text(*model) : json::quote(drawing.model(component)))
            .add("patch", quoted_or_null(drawing.patch(component)))
            .add("function", quoted_or_null(drawing.function()))
            .add("files", name_list(drawing.files(component), [](const FileRecord& file) { return file.path; }))
            .add("inputs", name_list(drawing.inputs, file_of))
            .add("outputs", name_list(drawing.outputs, file_of))
            .done();
    } catch (const Problem& problem) {
        const std::string line = problem.what();
        return line.rfind("the bundle ", 0) == 0 ? line.substr(11) : line;
    }
}

std::string wanted_of_drawing(const json::Value& one) {
    if (const auto refused = optional_text(one, "refused")) return *refused;
    json::Writer wanted;
    for (const char* name : {"model", "patch", "function", "files", "inputs", "outputs"}) {
        wanted.add(name, json::to_text(*one.find(name)));
    }
    return wanted.done();
}

}  // namespace

int conformance(const Words& words) {
    const std::filesystem::path folder = words.at(0), scratch = words.at(1);
    int count = compare(folder / "warmup.json", warmed, wanted_of_warm_up);
    count += compare(folder / "turns.json", turned,
                     [](const json::Value& one) { return json::to_text(*one.find("turns")); });
    count += compare(
        folder / "rounds.json",
        [](const json::Value& one) { return numbers(split(integer(one, "iterations"), integer(one, "rounds"))); },
        [](const json::Value& one) { return json::to_text(*one.find("frames")); });
    count += compare(
        folder / "patch.json", [&](const json::Value& one) { return patched_by(one, scratch); },
        [](const json::Value& one) { return optional_text(one, "result").value_or("refused"); });
    const std::filesystem::path concepts = folder / "concepts.json";
    const json::Value file = json::parse(file_content(concepts, 64u << 20), concepts.string());
    count += compare(
        concepts,
        [&](const json::Value& one) {
            const json::Value& manifest = *file.find("manifests")->find(one.find("manifest")->text);
            return drawn(one, read_manifest(json::to_text(manifest), "the manifest"));
        },
        wanted_of_drawing);
    std::printf("%d\n", count);
    return 0;
}

}  // namespace pocketgan::checks

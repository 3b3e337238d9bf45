#include "recording.h"

#include <algorithm>
#include <cstdlib>

namespace pocketgan {
namespace {

std::int64_t integer(const json::Value& value) { return std::strtoll(value.text.c_str(), nullptr, 10); }

std::string told(const json::Value& event, const char* name) {
    const json::Value* value = event.find(name);
    return value == nullptr ? "null" : json::to_text(*value);
}

std::string frame(const json::Value& parts) {
    static constexpr const char* names[] = {"start_ns", "pre_ns", "inference_ns", "post_ns", "round", "end_ns"};
    json::Writer writer;
    for (std::size_t i = 0; i < parts.items.size(); ++i) writer.add(names[i], parts.items[i].text);
    return writer.done();
}

std::string pick(const json::Value& event, std::initializer_list<const char*> names) {
    json::Writer writer;
    for (const char* name : names) writer.add(name, told(event, name));
    return writer.done();
}

}  // namespace

std::int64_t Recording::done() const {
    if (!job_.by_seconds()) return frame_count_;
    return began_ns_ ? (ended_ns_ - *began_ns_) / 1'000'000'000 : 0;
}

void Recording::take(const json::Value& event, bool loads) {
    const std::string& kind = event.find("event")->text;
    if (kind == "ready") {
        version_ = event.find("version")->text;
        registered_ = told(event, "registered");
    } else if (kind == "loaded" && loads) {
        cold_.push_back(told(event, "cold_ns"));
        first_.push_back(told(event, "first_ns"));
        if (told(event, "file_cache") != "null") file_cache_.push_back(told(event, "file_cache"));
    } else if (kind == "reloaded" && loads) {
        warm_.push_back(told(event, "warm_ns"));
    } else if (kind == "memory" && memory_ == "null") {
        memory_ = pick(event, {"runtime_bytes", "peak_bytes"});
    } else if (kind == "placed") {
        planned_ = told(event, "planned");
    } else if (kind == "parity") {
        parity_ = told(event, "agreement");
    } else if (kind == "parity_after") {
        parity_after_ = told(event, "agreement");
    } else if (kind == "warmed") {
        warmup_ = pick(event, {"iterations", "duration_ns", "steady"});
    } else if (kind == "frames") {
        for (const json::Value& parts : event.find("frames")->items) {
            frames_ += (frames_.empty() ? "" : ",") + frame(parts);
            ++frame_count_;
            if (!began_ns_) began_ns_ = integer(parts.items[0]);
            ended_ns_ =
                integer(parts.items[0]) + integer(parts.items[1]) + integer(parts.items[2]) + integer(parts.items[3]);
        }
    } else if (kind == "failed") {
        fail(event.find("message")->text);
    } else if (kind == "done" && !told(event, "note").empty()) {
        if (const std::string& note = event.find("note")->text; !note.empty()) add_error(note);
    }
}

void Recording::fail(const std::string& message) {
    failed_ = true;
    frames_.clear();
    add_error(message);
}

void Recording::add_error(const std::string& message) {
    if (std::find(errors_.begin(), errors_.end(), message) == errors_.end()) errors_.push_back(message);
}

std::string Recording::result(const std::string& session, const std::string& device) const {
    std::vector<std::string> states, errors;
    for (const Conditions& state : conditions) states.push_back(state.to_json());
    for (const std::string& error : errors_) errors.push_back(json::quote(error));
    const auto frequency = [&](const Conditions& state) {
        return state.frequency_mhz ? json::number(*state.frequency_mhz) : "null";
    };
    const std::string clock = json::Writer()
                                  .add("regime", json::quote(job_.clock))
                                  .add("before_mhz", conditions.empty() ? "null" : frequency(conditions.front()))
                                  .add("after_mhz", conditions.size() < 2 ? "null" : frequency(conditions.back()))
                                  .done();
    const std::string placement = json::Writer()
                                      .add("requested", json::quote(job_.provider))
                                      .add("planned", planned_)
                                      .add("registered", registered_)
                                      .done();
    return json::Writer()
        .add("schema_version", "\"1.3\"")
        .add("session", json::quote(session))
        .add("job", job_.source)
        .add("bundle_name", json::quote(bundle_name))
        .add("device", device)
        .add("runtime", json::quote(runtime))
        .add("runtime_version", json::quote(version_))
        .add("app_build", "\"release\"")
        .add("started_at", json::quote(started_at))
        .add("process", json::quote(process))
        .add("cool_down", cool_down)
        .add("warmup", warmup_)
        .add("file_cache", json::list(file_cache_))
        .add("cold_load_ns", json::list(cold_))
        .add("warm_load_ns", json::list(warm_))
        .add("first_inference_ns", json::list(first_))
        .add("frames", "[" + frames_ + "]")
        .add("memory", memory_)
        .add("conditions", json::list(states))
        .add("delegation", delegation)
        .add("parity", parity_)
        .add("parity_after", parity_after_)
        .add("placement", version_.empty() ? "null" : placement)
        .add("clock", clock)
        .add("errors", json::list(errors))
        .done();
}

}  // namespace pocketgan

#include "job.h"

#include "fields.h"

namespace pocketgan {
namespace {

constexpr int job_minor = 3;

void must_not_be_negative(const Fields& fields, std::string_view name, double value) {
    if (value < 0) fields.fail(name, "is negative");
}

WarmupRule read_warmup(const json::Value* value, const std::string& where, bool added_later) {
    WarmupRule rule;
    if (value == nullptr) return rule;
    Fields fields(*value, where + ": warmup", added_later);
    rule.iterations = fields.integer("iterations", 0, rule.iterations);
    rule.window = fields.integer("window", 1, rule.window);
    rule.tolerance = fields.number("tolerance", rule.tolerance);
    rule.timeout_s = fields.number("timeout_s", rule.timeout_s);
    if (rule.tolerance <= 0) fields.fail("tolerance", "is not above 0");
    must_not_be_negative(fields, "timeout_s", rule.timeout_s);
    fields.end();
    return rule;
}

std::optional<CoolDownRule> read_cool_down(const json::Value* value, const std::string& where, bool added_later) {
    if (value == nullptr) return {};
    CoolDownRule rule;
    Fields fields(*value, where + ": cool_down", added_later);
    rule.maximum_thermal_state =
        fields.one_of("maximum_thermal_state", {"nominal", "fair", "serious", "critical"}, "nominal");
    rule.maximum_temperature_c = fields.optional_number("maximum_temperature_c");
    rule.timeout_s = fields.number("timeout_s", rule.timeout_s);
    must_not_be_negative(fields, "timeout_s", rule.timeout_s);
    fields.end();
    return rule;
}

}  // namespace

Job read_job(const json::Value& value, const std::string& where) {
    const bool later = added_later(value, "schema_version", job_minor, where);
    Fields fields(value, where, later);
    Job job;
    job.source = json::to_text(value);
    fields.text("schema_version", "1.3");
    job.bundle = fields.sha256("bundle");
    job.entry = fields.name("entry");
    if (fields.take("component") != nullptr) job.component = fields.name("component");
    job.mode = fields.one_of("mode", {"latency", "throughput", "sustained", "camera"}, "latency");
    job.via = fields.one_of("via", {"process", "app", "shell", "page"}, "process");
    job.provider =
        fields.one_of("provider", {"default", "cpu", "xnnpack", "nnapi", "qnn", "vulkan", "wasm", "webgpu"}, "default");
    job.clock = fields.one_of("clock", {"free", "pinned"}, "free");
    job.warmup = read_warmup(fields.take("warmup"), where, later);
    const auto iterations = fields.optional_integer("iterations", 1, 50);
    const auto duration = fields.optional_number("duration_s");
    if (duration && *duration <= 0) fields.fail("duration_s", "is not above 0");
    if (job.by_seconds() ? !duration || iterations : !iterations || duration) {
        fields.fail("mode", job.mode + (job.by_seconds() ? " needs duration_s and not iterations"
                                                         : " needs iterations and not duration_s"));
    }
    job.iterations = iterations.value_or(0);
    job.duration_s = duration.value_or(0);
    job.rounds = fields.integer("rounds", 1, 5);
    job.run = fields.integer("run", 0, 0);
    job.threads = fields.integer("threads", 1, 1);
    job.compute_units = fields.one_of("compute_units", {"all", "cpu", "cpu_and_gpu", "cpu_and_neural_engine"}, "all");
    job.cold_repeats = fields.integer("cold_repeats", 0, 1);
    job.cool_down = read_cool_down(fields.take("cool_down"), where, later);
    job.energy = fields.boolean("energy", false);
    if (job.energy && !job.by_seconds()) fields.fail("energy", "needs mode sustained or camera");
    fields.end();
    return job;
}

std::string Job::rule() const {
    std::string text =
        component.value_or("") + " " + mode + " " + via + " " + provider + " " + clock + " " + compute_units;
    if (energy) text += " energy";
    for (const std::int64_t number :
         {warmup.iterations, warmup.window, iterations, rounds, run, threads, cold_repeats}) {
        text += " " + std::to_string(number);
    }
    for (const double number : {warmup.tolerance, warmup.timeout_s, duration_s}) text += " " + json::number(number);
    if (!cool_down) return text;
    return text + " " + cool_down->maximum_thermal_state + " " + json::number(cool_down->timeout_s) + " " +
           (cool_down->maximum_temperature_c ? json::number(*cool_down->maximum_temperature_c) : "any");
}

}  // namespace pocketgan

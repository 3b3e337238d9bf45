#include "conditions.h"

#include <algorithm>
#include <cctype>
#include <cmath>

#include "json.h"
#include "system_files.h"

namespace pocketgan {
namespace {

namespace fs = std::filesystem;

std::optional<double> highest(std::optional<double> one, std::optional<double> other) {
    if (!one || !other) return one ? one : other;
    return std::max(*one, *other);
}

// Names of the processor's sensors: cpu-1-0-usr and cpuss of Qualcomm, mtktscpu of MediaTek, BIG and LITTLE of Samsung
// and Google, x86_pkg_temp of Intel.
bool is_of_processor(std::string type) {
    std::transform(type.begin(), type.end(), type.begin(), [](unsigned char c) { return std::tolower(c); });
    for (const char* part : {"cpu", "soc", "x86_pkg"}) {
        if (type.find(part) != std::string::npos) return true;
    }
    return type == "big" || type == "mid" || type == "little";
}

std::optional<double> temperature_c(const fs::path& root) {
    std::optional<double> hottest;
    for (const fs::path& zone : system_entries(root / "sys/class/thermal", "thermal_zone")) {
        if (!is_of_processor(system_line(zone / "type"))) continue;
        auto degrees = system_number(zone / "temp");
        if (degrees && std::fabs(*degrees) > 1000) *degrees /= 1000;  // most tell thousandths
        // Sensors that are off tell 0, or what no chip survives.
        if (degrees && *degrees > 0 && *degrees < 150) hottest = highest(hottest, degrees);
    }
    return hottest;
}

std::optional<double> frequency_mhz(const fs::path& root) {
    std::optional<double> fastest;
    for (const fs::path& core : system_entries(root / "sys/devices/system/cpu", "cpu")) {
        const auto khz = system_number(core / "cpufreq/scaling_cur_freq");
        if (khz && *khz > 0) fastest = highest(fastest, *khz / 1000);
    }
    return fastest;
}

void read_battery(const fs::path& root, Conditions& state) {
    for (const fs::path& supply : system_entries(root / "sys/class/power_supply", "")) {
        if (system_line(supply / "type") != "Battery" || system_line(supply / "scope") == "Device") continue;
        state.battery_percent = system_number(supply / "capacity");
        const std::string status = system_line(supply / "status");
        if (status == "Charging" || status == "Full") state.charging = true;
        if (status == "Discharging") state.charging = false;
        const auto microamperes = system_number(supply / "current_now");
        const auto microvolts = system_number(supply / "voltage_now");
        // Makers disagree on the sign of the current; the status tells which way it flows.
        if (microamperes && microvolts && (status == "Charging" || status == "Discharging")) {
            const double watts = std::fabs(*microamperes) * *microvolts * 1e-12;
            state.power_w = status == "Charging" ? -watts : watts;
        }
        return;
    }
}

std::string or_null(std::optional<double> value) { return value ? json::number(*value) : "null"; }

}  // namespace

Conditions read_conditions(std::int64_t at_ns, const fs::path& root) {
    Conditions state;
    state.at_ns = at_ns;
    state.temperature_c = temperature_c(root);
    state.frequency_mhz = frequency_mhz(root);
    state.load_average = system_number(root / "proc/loadavg");
    read_battery(root, state);
    return state;
}

std::string Conditions::to_json() const {
    return json::Writer()
        .add("at_ns", json::number(at_ns))
        .add("temperature_c", or_null(temperature_c))
        .add("frequency_mhz", or_null(frequency_mhz))
        .add("load_average", or_null(load_average))
        .add("battery_percent", or_null(battery_percent))
        .add("charging", charging ? (*charging ? "true" : "false") : "null")
        .add("power_w", or_null(power_w))
        .done();
}

std::optional<bool> is_cool(const CoolDownRule& rule, const Conditions& state) {
    if (!rule.maximum_temperature_c || !state.temperature_c) return {};
    return *state.temperature_c <= *rule.maximum_temperature_c;
}

}  // namespace pocketgan

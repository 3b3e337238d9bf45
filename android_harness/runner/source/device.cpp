#include "device.h"

#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>

#include "json.h"
#include "system_files.h"

#ifdef __ANDROID__
#include <sys/system_properties.h>
#endif

namespace pocketgan {
namespace {

struct Told {
    std::string kind, model, os, build, cpu;
};

// Value of the first line of /proc/cpuinfo with one of these keys.
std::string cpu_line(std::initializer_list<const char*> keys) {
    const std::string text = system_text("/proc/cpuinfo");
    for (const char* key : keys) {
        const auto found = text.find(std::string("\n") + key + "\t");
        if (found == std::string::npos) continue;
        const auto colon = text.find(": ", found);
        if (colon != std::string::npos) return text.substr(colon + 2, text.find('\n', colon) - colon - 2);
    }
    return "";
}

#ifdef __ANDROID__

std::string property(const char* name) {
    char value[PROP_VALUE_MAX] = "";
    __system_property_get(name, value);
    return value;
}

Told tell(const utsname& system) {
    std::string chip = property("ro.soc.model");  // from Android 12 on
    if (chip.empty()) chip = cpu_line({"Hardware"});
    if (chip.empty()) chip = property("ro.board.platform");
    return {"android", property("ro.product.model"), "Android " + property("ro.build.version.release"),
            property("ro.build.id"), chip.empty() ? system.machine : chip};
}

#else

Told tell(const utsname& system) {
    std::string os = system.sysname;
    const std::string release = system_text("/etc/os-release");
    if (const auto found = release.find("PRETTY_NAME=\""); found != std::string::npos) {
        os = release.substr(found + 13, release.find('"', found + 13) - found - 13);
    }
    std::string model = system_line("/sys/devices/virtual/dmi/id/product_name");
    std::string cpu = cpu_line({"model name", "Model", "Hardware"});
    return {"local", model.empty() ? system.machine : model, os, system.release, cpu.empty() ? system.machine : cpu};
}

#endif

}  // namespace

std::string describe_device(const std::string& name, bool simulated) {
    utsname system{};
    uname(&system);
    const Told told = tell(system);
    const std::string asked = name.empty() ? told.kind : name;
    // A phone that a test stands in for is of the kind that its name says.
    const std::string kind = asked.rfind("android", 0) == 0 ? "android" : told.kind;
    const auto pages = static_cast<std::int64_t>(sysconf(_SC_PHYS_PAGES));
    return json::Writer()
        .add("name", json::quote(asked))
        .add("model", json::quote(told.model))
        .add("kind", json::quote(kind))
        .add("os", json::quote(told.os))
        .add("os_build", json::quote(told.build))
        .add("cpu", json::quote(told.cpu))
        .add("cores", json::number(std::max<std::int64_t>(1, sysconf(_SC_NPROCESSORS_CONF))))
        .add("memory_bytes", json::number(std::max<std::int64_t>(0, pages * sysconf(_SC_PAGESIZE))))
        .add("simulated", simulated ? "true" : "false")
        .done();
}

}  // namespace pocketgan

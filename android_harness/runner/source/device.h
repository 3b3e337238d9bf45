// What this device is (result.DeviceInfo).
#pragma once

#include <string>

namespace pocketgan {

// As JSON. `name` is how the host calls it, such as android:SERIAL; empty for what the system itself says.
std::string describe_device(const std::string& name, bool simulated);

}  // namespace pocketgan

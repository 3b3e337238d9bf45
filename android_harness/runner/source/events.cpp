#include "events.h"

#include <unistd.h>

#include <cerrno>
#include <cstdlib>

namespace pocketgan {

void Events::send(const std::string& event, json::Writer fields) {
    const std::string line = fields.add("event", json::quote(event)).done() + "\n";
    std::size_t written = 0;
    while (written < line.size()) {
        const ssize_t count = write(descriptor_, line.data() + written, line.size() - written);
        if (count < 0 && errno != EINTR) std::_Exit(1);  // nobody listens any more
        if (count > 0) written += static_cast<std::size_t>(count);
    }
    last_ns_ = clock_.now_ns();
}

void Events::beat(std::size_t model, std::int64_t done) {
    if (clock_.now_ns() - last_ns_ < interval_ns_) return;
    send("beat", json::Writer().add("model", std::to_string(model)).add("done", json::number(done)));
}

}  // namespace pocketgan

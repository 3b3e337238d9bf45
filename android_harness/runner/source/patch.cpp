#include "patch.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <system_error>

#include "fields.h"
#include "file_content.h"
#include "half.h"
#include "problem.h"
#include "safetensors.h"

namespace pocketgan {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t most_patched_bytes = std::int64_t{1} << 40;
// Numbers that are summed at once.
constexpr std::int64_t segment = 1 << 15;

struct WeightPatch {
    std::int64_t offset, rows, columns;
    bool is_half;
    std::string a, b;
};

struct BytesPatch {
    std::int64_t offset;
    std::string tensor;
};

struct Patch {
    Safetensors tensors;
    std::int64_t target_bytes = 0;
    std::string target_sha256, result_sha256;
    std::optional<std::string> first;
    std::vector<WeightPatch> weights;
    std::vector<BytesPatch> replaced;
};

std::int64_t place(Fields& fields, const char* name, std::int64_t least) {
    const std::int64_t found = fields.integer(name, least);
    if (found > most_patched_bytes) fields.fail(name, "is too large");
    return found;
}

Patch read_patch(const fs::path& path) {
    Patch patch{Safetensors(path), 0, "", "", {}, {}, {}};
    const json::Value plan = json::parse(patch.tensors.metadata("patch"), "has a plan that");
    if (plan.kind != json::Kind::object) throw Problem("is no patch: its metadata have none");
    Fields fields(plan, "is no patch: it", false);
    patch.target_bytes = place(fields, "target_bytes", 1);
    patch.target_sha256 = fields.sha256("target_sha256");
    patch.result_sha256 = fields.sha256("result_sha256");
    if (fields.take("first") != nullptr) patch.first = fields.text("first");
    fields.each("weights", true, [&](const json::Value& value, const std::string& at) {
        Fields one(value, at, false);
        WeightPatch weight{place(one, "offset", 0), place(one, "rows", 1), place(one, "columns", 1), false, "", ""};
        weight.is_half = one.one_of("dtype", {"float32", "float16"}, "") == "float16";
        weight.a = one.text("a");
        weight.b = one.text("b");
        one.end();
        patch.weights.push_back(weight);
    });
    fields.each("bytes", true, [&](const json::Value& value, const std::string& at) {
        Fields one(value, at, false);
        const std::int64_t offset = place(one, "offset", 0);
        patch.replaced.push_back({offset, one.text("bytes")});
        one.end();
    });
    fields.end();
    return patch;
}

// The patch, after the one that it wants put in before it.
std::vector<Patch> patch_steps(const fs::path& path) {
    std::vector<Patch> steps;
    Patch last = read_patch(path);
    if (last.first) {
        if (last.first->find('/') != std::string::npos || *last.first == "." || *last.first == "..") {
            throw Problem("names a patch outside of its folder: " + json::quote(*last.first));
        }
        Patch first = read_patch(path.parent_path() / *last.first);
        if (first.first) throw Problem("wants a patch put in before it that wants another one");
        if (first.target_sha256 != last.target_sha256) throw Problem("wants a patch of another file put in before it");
        steps.push_back(std::move(first));
    }
    steps.push_back(std::move(last));
    return steps;
}

// A file that is changed in place.
class Changed {
 public:
    explicit Changed(const fs::path& path) : descriptor_(open(path.c_str(), O_RDWR | O_CLOEXEC)) {
        if (descriptor_ < 0) refuse();
    }
    ~Changed() { close(descriptor_); }
    Changed(const Changed&) = delete;
    Changed& operator=(const Changed&) = delete;

    void read(char* into, std::size_t size, std::int64_t from) const {
        for (std::size_t done = 0; done < size;) {
            const ssize_t count = pread(descriptor_, into + done, size - done, from + static_cast<std::int64_t>(done));
            if (count <= 0) refuse();
            done += static_cast<std::size_t>(count);
        }
    }

    void write(const char* data, std::size_t size, std::int64_t to) const {
        for (std::size_t done = 0; done < size;) {
            const ssize_t count = pwrite(descriptor_, data + done, size - done, to + static_cast<std::int64_t>(done));
            if (count <= 0) refuse();
            done += static_cast<std::size_t>(count);
        }
    }

    void sync() const {
        if (fsync(descriptor_) != 0) refuse();
    }

 private:
    [[noreturn]] static void refuse() {
        throw Problem(std::string("has a file that cannot be written: ") + std::strerror(errno));
    }

    int descriptor_;
};

void add_terms(const WeightPatch& weight, const FactorTensor& left, const std::vector<double>& right, std::int64_t row,
               std::int64_t column, std::int64_t count, char* numbers) {
    const std::size_t item = weight.is_half ? 2 : 4;
    const auto rank = static_cast<std::size_t>(left.shape[1]);
    std::vector<double> sums(static_cast<std::size_t>(count));
    for (std::size_t i = 0; i < sums.size(); ++i) {
        sums[i] = FactorTensor{weight.is_half ? "F16" : "F32", {}, numbers, 0}.at(i);
    }
    for (std::size_t term = 0; term < rank; ++term) {
        const double factor = left.at(static_cast<std::size_t>(row) * rank + term);
        const double* from = right.data() + term * static_cast<std::size_t>(weight.columns) + column;
        for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += factor * from[i];
    }
    for (std::size_t i = 0; i < sums.size(); ++i) {
        const std::uint16_t half = weight.is_half ? to_half(sums[i]) : 0;
        const auto number = static_cast<float>(sums[i]);
        if (weight.is_half) {
            std::memcpy(numbers + i * item, &half, item);
        } else {
            std::memcpy(numbers + i * item, &number, item);
        }
    }
}

void add_product(const Patch& patch, const WeightPatch& weight, const Changed& file) {
    const FactorTensor left = patch.tensors.tensor(weight.b), right = patch.tensors.tensor(weight.a);
    const bool are_factors =
        left.type != "U8" && right.type != "U8" && left.shape.size() == 2 && right.shape.size() == 2;
    if (!are_factors || left.shape[0] != weight.rows || right.shape[1] != weight.columns ||
        left.shape[1] != right.shape[0]) {
        throw Problem("has factors " + json::quote(weight.b) + " and " + json::quote(weight.a) +
                      " that are none of its weights");
    }
    const std::int64_t item = weight.is_half ? 2 : 4;
    if (weight.offset > patch.target_bytes ||
        weight.rows > (patch.target_bytes - weight.offset) / item / weight.columns) {
        throw Problem("changes weights outside of the file");
    }
    if (right.shape[0] == 0) return;
    std::vector<double> terms(static_cast<std::size_t>(right.shape[0] * right.shape[1]));
    for (std::size_t i = 0; i < terms.size(); ++i) terms[i] = right.at(i);
    const std::int64_t columns = std::min(weight.columns, segment), rows = std::max<std::int64_t>(1, segment / columns);
    std::vector<char> numbers(static_cast<std::size_t>(rows * columns * item));
    for (std::int64_t row = 0; row < weight.rows; row += rows) {
        const std::int64_t here = std::min(rows, weight.rows - row);
        for (std::int64_t column = 0; column < weight.columns; column += columns) {
            const std::int64_t count = std::min(columns, weight.columns - column);
            const std::int64_t at = weight.offset + (row * weight.columns + column) * item;
            const auto size = static_cast<std::size_t>(here * count * item);
            file.read(numbers.data(), size, at);
            for (std::int64_t i = 0; i < here; ++i) {
                add_terms(weight, left, terms, row + i, column, count, numbers.data() + i * count * item);
            }
            file.write(numbers.data(), size, at);
        }
    }
}

void put_in(const Patch& patch, const Changed& file) {
    for (const WeightPatch& weight : patch.weights) add_product(patch, weight, file);
    for (const BytesPatch& one : patch.replaced) {
        const FactorTensor tensor = patch.tensors.tensor(one.tensor);
        if (tensor.type != "U8" || one.offset + static_cast<std::int64_t>(tensor.size) > patch.target_bytes) {
            throw Problem("replaces bytes outside of the file, or by no bytes: " + json::quote(one.tensor));
        }
        file.write(tensor.data, tensor.size, one.offset);
    }
}

// Removed unless it was given its name.
struct Partial {
    fs::path path;
    ~Partial() {
        std::error_code ignored;
        fs::remove(path, ignored);
    }
};

}  // namespace

fs::path patched_file(const fs::path& target, const fs::path& patch, const fs::path& folder) {
    const std::vector<Patch> steps = patch_steps(patch);
    const Patch& last = steps.back();
    const fs::path made = folder / (last.result_sha256 + target.extension().string());
    if (fs::is_regular_file(made) && file_sha256(made) == last.result_sha256) return made;
    const Partial partial{folder / (last.result_sha256 + ".partial")};
    std::error_code error;
    fs::create_directories(folder, error);
    if (!error) fs::copy_file(target, partial.path, fs::copy_options::overwrite_existing, error);
    if (error) throw Problem("has a file that cannot be written: " + error.message());
    fs::permissions(partial.path, fs::perms::owner_write, fs::perm_options::add, error);
    if (fs::file_size(partial.path) != static_cast<std::uintmax_t>(last.target_bytes)) {
        throw Problem("belongs to another file than " + target.filename().string());
    }
    {
        const Changed file(partial.path);
        for (const Patch& step : steps) put_in(step, file);
        file.sync();
    }
    // A right result is of the right target.
    if (file_sha256(partial.path) != last.result_sha256) {
        throw Problem("gives another " + target.filename().string() + " than it says");
    }
    fs::rename(partial.path, made, error);
    if (error) throw Problem("has a file that cannot be written: " + error.message());
    return made;
}

std::string patch_target(const fs::path& patch) { return read_patch(patch).target_sha256; }

}  // namespace pocketgan

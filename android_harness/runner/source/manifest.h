// What a runner needs of a bundle's manifest (core/bundle/manifest.py, 1.2).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace pocketgan {

struct FileRecord {
    std::string path;
    std::int64_t bytes = 0;
    std::string sha256;
};

struct TensorSpec {
    std::string name;
    std::vector<std::int64_t> shape;
    std::string layout;  // NCHW, NHWC or empty
    std::string dtype;
    std::optional<std::pair<double, double>> value_range;
    bool rgb = false;
};

struct Component {
    std::string name;
    std::string entry_point;
    std::vector<FileRecord> files;
    std::vector<TensorSpec> inputs;
    std::vector<TensorSpec> outputs;
    std::int64_t repeat = 1;
};

struct Parity {
    std::optional<double> psnr_db;
    double floor_db = 0;
};

struct Entry {
    std::string id;
    std::string target;
    std::string runtime;
    std::string runtime_version;
    std::string golden;
    std::optional<Parity> parity;
    std::string delegation = "null";  // as JSON, which goes into the Result
    std::vector<Component> components;
};

struct GoldenTensor {
    std::string name;
    std::string dtype;
    std::vector<std::int64_t> shape;
    FileRecord file;
};

struct GoldenSet {
    std::string id;
    std::vector<GoldenTensor> inputs;
    std::vector<GoldenTensor> outputs;
};

struct Manifest {
    std::string name;
    std::vector<Entry> entries;
    std::vector<GoldenSet> golden;

    // Throw Problem where there is none.
    const Entry& entry(const std::string& id) const;
    const GoldenSet& golden_of(const Entry& entry) const;
};

// Throws Problem that begins with `where`.
Manifest read_manifest(const std::string& text, const std::string& where);

// PSNR in dB below which the entry's output counts as wrong on this device (runners/planning.py).
double floor_db(const Entry& entry);

// The component of that name, or the only one. Throws Problem where there is none.
const Component& component_of(const Entry& entry, const std::optional<std::string>& name);

// Path in the bundle of the file that the runtime opens. Throws Problem: the entry point is none of several files.
std::string model_path(const Component& component);

}  // namespace pocketgan

// What a runner needs of a bundle's manifest (core/bundle/manifest.py, 1.3).
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
    std::optional<std::string> inputs_of;  // the set that holds its inputs
    std::vector<GoldenTensor> inputs;
    std::vector<GoldenTensor> outputs;
};

// How an entry draws a concept: `name` is a model, a patch of the entry point, or a function of it.
struct ConceptForm {
    std::string entry;
    std::string way;  // model, patch or function
    std::string name;
    std::string golden;
    std::optional<Parity> parity;
};

struct Effect {  // "concept" is a word of C++20
    std::string name;
    std::vector<ConceptForm> forms;
};

struct Manifest {
    std::string name;
    std::vector<Entry> entries;
    std::vector<GoldenSet> golden;
    std::vector<Effect> concepts;
    std::optional<std::string> default_concept;

    // Throw Problem where there is none.
    const Entry& entry(const std::string& id) const;
    const GoldenSet& golden_set(const std::string& id) const;
};

// Throws Problem that begins with `where`.
Manifest read_manifest(const std::string& text, const std::string& where);

// PSNR in dB below which an output counts as wrong on this device (runners/planning.py).
double floor_db(const std::optional<Parity>& parity);

// The component of that name, or the only one. Throws Problem where there is none.
const Component& component_of(const Entry& entry, const std::optional<std::string>& name);

// Whether the component's entry point names the file, whole or as the end of its path.
bool is_entry_point(const Component& component, const std::string& path);

// Path in the bundle of the file that the entry point names. Throws Problem: the entry point is none of several files.
std::string model_path(const Component& component);

}  // namespace pocketgan

#include "manifest.h"

#include <algorithm>

#include "fields.h"
#include "problem.h"

namespace pocketgan {
namespace {

constexpr int manifest_minor = 3;
constexpr double default_floor_db = 30;
// Rounding differs between processors; a model that was exported below its floor is held to what it had, less this.
constexpr double below_floor_margin_db = 3;
const std::vector<std::string> dtypes{"float32", "float16", "uint8", "int32", "int64"};

// As manifest.RelativePath: ASCII alone, under models, golden or LICENSES; no part begins with a dot, or ends with a
// dot or a space.
bool is_path(const std::string& path) {
    if (path.size() > 512) return false;
    const auto slash = path.find('/');
    if (slash == std::string::npos) return false;
    const std::string top = path.substr(0, slash);
    if (top != "models" && top != "golden" && top != "LICENSES") return false;
    const auto plain = [](char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
    };
    std::size_t start = slash + 1;
    while (true) {
        const std::size_t end = std::min(path.find('/', start), path.size());
        const std::string part = path.substr(start, end - start);
        if (part.empty() || !plain(part.front()) || part.back() == '.' || part.back() == ' ') return false;
        for (const char c : part) {
            if (!plain(c) && std::string(".+@ -").find(c) == std::string::npos) return false;
        }
        if (end == path.size()) return true;
        start = end + 1;
    }
}

class Reader {
 public:
    explicit Reader(bool later) : later_(later) {}

    FileRecord file(const json::Value* value, const std::string& where) const {
        if (value == nullptr) throw Problem(where + " is missing");
        Fields fields(*value, where, later_);
        FileRecord file;
        file.path = fields.text("path");
        if (!is_path(file.path)) fields.fail("path", json::quote(file.path) + " is no path of a bundle");
        file.bytes = fields.integer("bytes", 0);
        file.sha256 = fields.sha256("sha256");
        fields.end();
        return file;
    }

    TensorSpec spec(const json::Value& value, const std::string& where) const {
        Fields fields(value, where, later_);
        TensorSpec spec;
        spec.name = fields.text("name");
        spec.shape = fields.shape("shape");
        if (fields.take("layout") != nullptr) spec.layout = fields.one_of("layout", {"NCHW", "NHWC"}, "");
        spec.dtype = fields.one_of("dtype", dtypes, "");
        spec.rgb = fields.take("colour_space") != nullptr && fields.one_of("colour_space", {"RGB"}, "") == "RGB";
        if (const json::Value* range = fields.take("value_range")) {
            if (range->kind != json::Kind::array || range->items.size() != 2) fields.fail("value_range", "is no pair");
            spec.value_range.emplace(number(range->items[0], fields), number(range->items[1], fields));
        }
        fields.end();
        return spec;
    }

    Component component(const json::Value& value, const std::string& where) const {
        Fields fields(value, where, later_);
        Component component;
        component.name = fields.name("name");
        component.entry_point = fields.text("entry_point");
        fields.each("files", false,
                    [&](const json::Value& one, const std::string& at) { component.files.push_back(file(&one, at)); });
        fields.each("inputs", false,
                    [&](const json::Value& one, const std::string& at) { component.inputs.push_back(spec(one, at)); });
        fields.each("outputs", false,
                    [&](const json::Value& one, const std::string& at) { component.outputs.push_back(spec(one, at)); });
        component.repeat = fields.integer("repeat", 1, 1);
        fields.end();
        return component;
    }

    Entry entry(const json::Value& value, const std::string& where) const {
        Fields fields(value, where, later_);
        Entry entry;
        entry.id = fields.name("id");
        entry.target = fields.text("target");
        entry.runtime = fields.text("runtime");
        entry.runtime_version = fields.text("runtime_version");
        entry.golden = fields.name("golden");
        for (const char* told : {"precision", "minimum_os", "trade_off", "unchecked"}) fields.take(told);
        if (const json::Value* delegation = fields.take("delegation")) entry.delegation = json::to_text(*delegation);
        entry.parity = parity(fields.take("parity"), where);
        fields.each("components", false, [&](const json::Value& one, const std::string& at) {
            entry.components.push_back(component(one, at));
        });
        fields.end();
        return entry;
    }

    GoldenSet golden(const json::Value& value, const std::string& where) const {
        Fields fields(value, where, later_);
        GoldenSet set;
        set.id = fields.name("id");
        fields.take("reference");
        if (fields.take("inputs_of") != nullptr) set.inputs_of = fields.name("inputs_of");
        fields.each("inputs", false, [&](const json::Value& one, const std::string& at) {
            set.inputs.push_back(golden_tensor(one, at));
        });
        fields.each("outputs", false, [&](const json::Value& one, const std::string& at) {
            set.outputs.push_back(golden_tensor(one, at));
        });
        fields.end();
        return set;
    }

    Effect effect(const json::Value& value, const std::string& where) const {
        Fields fields(value, where, later_);
        Effect effect;
        effect.name = fields.name("name");
        for (const char* told : {"text", "adapter"}) fields.take(told);
        fields.each("forms", true,
                    [&](const json::Value& one, const std::string& at) { effect.forms.push_back(form(one, at)); });
        fields.end();
        return effect;
    }

 private:
    ConceptForm form(const json::Value& value, const std::string& where) const {
        Fields fields(value, where, later_);
        ConceptForm form;
        form.entry = fields.name("entry");
        form.way = fields.one_of("way", {"model", "patch", "function"}, "");
        form.name = fields.text("name");
        form.golden = fields.name("golden");
        form.parity = parity(fields.take("parity"), where);
        fields.take("unchecked");
        fields.end();
        return form;
    }

    static std::optional<Parity> parity(const json::Value* value, const std::string& where) {
        if (value == nullptr) return {};
        Fields told(*value, where + ": parity", true);
        return Parity{told.optional_number("psnr_db"), told.number("floor_db", default_floor_db)};
    }

    static double number(const json::Value& value, const Fields& fields) {
        if (value.kind != json::Kind::number) fields.fail("value_range", "is no pair of numbers");
        return std::stod(value.text);
    }

    GoldenTensor golden_tensor(const json::Value& value, const std::string& where) const {
        Fields fields(value, where, later_);
        GoldenTensor tensor;
        tensor.name = fields.text("name");
        tensor.dtype = fields.one_of("dtype", dtypes, "");
        tensor.shape = fields.shape("shape");
        tensor.file = file(fields.take("file"), where + ": file");
        fields.end();
        return tensor;
    }

    bool later_;
};

template <typename Item>
const Item& named(const std::vector<Item>& items, const std::string& id, const std::string& what) {
    for (const Item& item : items) {
        if (item.id == id) return item;
    }
    throw Problem("there is no " + what + " " + id + " in the bundle");
}

}  // namespace

const Entry& Manifest::entry(const std::string& id) const { return named(entries, id, "entry"); }

const GoldenSet& Manifest::golden_set(const std::string& id) const { return named(golden, id, "golden set"); }

Manifest read_manifest(const std::string& text, const std::string& where) {
    const json::Value value = json::parse(text, where);
    const bool later = added_later(value, "format_version", manifest_minor, where);
    Fields fields(value, where, later);
    const Reader reader(later);
    Manifest manifest;
    manifest.name = fields.name("name");
    fields.one_of("role", {"student", "teacher", "unpruned", "diffusion", "foreign"}, "");
    fields.boolean("trained");
    if (const json::Value* teacher = fields.take("teacher")) {
        Fields(*teacher, where + ": teacher", true).one_of("kind", {"onnx", "bundle", "function", "weights"}, "");
    }
    for (const char* told :
         {"format_version", "spec", "spec_digest", "cost", "quality", "diffusion", "licenses", "created_with"}) {
        fields.take(told);
    }
    fields.each("entries", false, [&](const json::Value& one, const std::string& at) {
        manifest.entries.push_back(reader.entry(one, at));
    });
    fields.each("golden", true, [&](const json::Value& one, const std::string& at) {
        manifest.golden.push_back(reader.golden(one, at));
    });
    fields.each("concepts", true, [&](const json::Value& one, const std::string& at) {
        manifest.concepts.push_back(reader.effect(one, at));
    });
    if (fields.take("default_concept") != nullptr) manifest.default_concept = fields.name("default_concept");
    fields.end();
    return manifest;
}

double floor_db(const std::optional<Parity>& parity) {
    if (!parity) return default_floor_db;
    if (!parity->psnr_db || *parity->psnr_db >= parity->floor_db) return parity->floor_db;
    return *parity->psnr_db - below_floor_margin_db;
}

const Component& component_of(const Entry& entry, const std::optional<std::string>& name) {
    if (!name && entry.components.size() == 1) return entry.components.front();
    std::string there;
    for (const Component& component : entry.components) {
        if (name && component.name == *name) return component;
        there += (there.empty() ? "" : ", ") + component.name;
    }
    throw Problem("entry " + entry.id + " has the components " + there + ", name one of them");
}

bool is_entry_point(const Component& component, const std::string& path) {
    const std::string ending = "/" + component.entry_point;
    return path == component.entry_point ||
           (path.size() > ending.size() &&
            path.compare(path.size() - ending.size(), std::string::npos, ending) == 0);
}

std::string model_path(const Component& component) {
    std::vector<std::string> found;
    for (const FileRecord& file : component.files) {
        if (is_entry_point(component, file.path)) found.push_back(file.path);
    }
    if (found.size() == 1) return found.front();
    if (component.files.size() == 1) return component.files.front().path;
    throw Problem("component " + component.name + ": its entry point " + component.entry_point +
                  " is none of its files");
}

}  // namespace pocketgan

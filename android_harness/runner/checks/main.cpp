// runner-checks CHECK ARGUMENT...: what comes of it goes to standard output.

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <exception>

#include "checks.h"
#include "conditions.h"
#include "file_content.h"
#include "json.h"
#include "named_files.h"
#include "picture.h"
#include "problem.h"

namespace pocketgan::checks {
namespace {

void print(const void* data, std::size_t size) { std::fwrite(data, 1, size, stdout); }

TensorSpec picture_spec(const Words& words) {
    TensorSpec spec;
    spec.name = "x";
    spec.layout = "NCHW";
    spec.dtype = "float32";
    spec.rgb = true;
    spec.shape = {1, 3, std::stoll(words.at(1)), std::stoll(words.at(2))};
    spec.value_range = {std::stod(words.at(3)), std::stod(words.at(4))};
    return spec;
}

// FILE HEIGHT WIDTH LOW HIGH: a picture becomes a tensor.
int tensor_of(const Words& words) {
    const TensorSpec spec = picture_spec(words);
    const std::string content = file_content(words.at(0), 64u << 20);
    Tensor tensor(DType::float32, spec.shape);
    to_tensor(std::vector<std::uint8_t>(content.begin(), content.end()), spec, tensor);
    print(tensor.bytes.data(), tensor.bytes.size());
    return 0;
}

// The inverse.
int picture_of(const Words& words) {
    const TensorSpec spec = picture_spec(words);
    std::vector<std::uint8_t> picture;
    to_picture(read_tensor(words.at(0), DType::float32, spec.shape), spec, picture);
    print(picture.data(), picture.size());
    return 0;
}

// FILE COUNT FROM TO: numbers of one type in another.
int converted(const Words& words) {
    const Tensor tensor =
        read_tensor(words.at(0), dtype_of(words.at(2)), {std::stoll(words.at(1))}).to(dtype_of(words.at(3)));
    print(tensor.bytes.data(), tensor.bytes.size());
    return 0;
}

int json_of(const Words& words) {
    const std::string text = json::to_text(json::parse(file_content(words.at(0), 64u << 20), "the file"));
    print(text.data(), text.size());
    return 0;
}

int conditions_of(const Words& words) {
    std::puts(read_conditions(7, words.at(0)).to_json().c_str());
    return 0;
}

int sha256_of(const Words& words) {
    std::puts(file_sha256(words.at(0)).c_str());
    return 0;
}

// FOLDER MODEL [FILE...]: an entry's model and its other files, as paths in a bundle; prints what is wrong with them.
int named_files_of(const Words& words) {
    Component component;
    component.entry_point = words.at(1);
    for (std::size_t i = 1; i < words.size(); ++i) {
        const auto size = std::filesystem::file_size(std::filesystem::path(words[0]) / words[i]);
        component.files.push_back({words[i], static_cast<std::int64_t>(size), ""});
    }
    try {
        const std::string model = model_path(component);
        must_name_own_files(std::filesystem::path(words[0]) / model, model, component.files);
    } catch (const Problem& problem) {
        std::puts(problem.what());
    }
    return 0;
}

}  // namespace
}  // namespace pocketgan::checks

int main(int count, char** words) {
    using namespace pocketgan::checks;
    struct Check {
        const char* name;
        int (*run)(const Words&);
    };
    static constexpr Check checks[] = {
        {"conformance", conformance},  {"loop", loop_cost},    {"tensor", tensor_of},
        {"picture", picture_of},       {"convert", converted}, {"json", json_of},
        {"conditions", conditions_of}, {"sha256", sha256_of},  {"named", named_files_of}};
    try {
        for (const Check& check : checks) {
            if (count > 1 && std::strcmp(words[1], check.name) == 0) return check.run(Words(words + 2, words + count));
        }
        std::fputs("unknown check\n", stderr);
    } catch (const std::exception& problem) {
        std::fprintf(stderr, "%s\n", problem.what());
    }
    return 2;
}

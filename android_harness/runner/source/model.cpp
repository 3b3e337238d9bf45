#include "model.h"

#include <cstring>

namespace pocketgan {
namespace {

ONNXTensorElementDataType element_type(DType dtype) {
    switch (dtype) {
        case DType::float32: return ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
        case DType::float16: return ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16;
        case DType::uint8: return ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8;
        case DType::int32: return ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32;
        case DType::int64: break;
    }
    return ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64;
}

DType dtype_of(ONNXTensorElementDataType type) {
    for (const DType dtype : {DType::float32, DType::float16, DType::uint8, DType::int32, DType::int64}) {
        if (element_type(dtype) == type) return dtype;
    }
    throw Refused("the model gives a tensor of a type that bundles do not have");
}

void add_provider(const Runtime& runtime, OrtSessionOptions* options, const LoadOptions& asked) {
    const OrtApi& api = runtime.api();
    const auto append = [&](const char* name, const char* key, const char* value) {
        try {
            runtime.check(api.SessionOptionsAppendExecutionProvider(options, name, &key, &value, 1));
        } catch (const Refused& problem) {
            throw Problem(std::string("ONNX Runtime has no provider ") + name + " here (" + problem.what() +
                          "): choose another, or put a libonnxruntime.so that has it beside the runner");
        }
    };
    if (asked.provider == "default" || asked.provider == "cpu") return;
    if (asked.provider == "xnnpack") {
        append("XNNPACK", "intra_op_num_threads", std::to_string(asked.threads).c_str());
    } else if (asked.provider == "qnn") {
        append("QNN", "backend_path", "libQnnHtp.so");
    } else if (asked.provider == "nnapi") {
        using Append = OrtStatus* (*)(OrtSessionOptions*, std::uint32_t);
        const auto add = reinterpret_cast<Append>(runtime.symbol("OrtSessionOptionsAppendExecutionProvider_Nnapi"));
        if (add == nullptr) {
            throw Problem(
                "ONNX Runtime has no provider NNAPI here: choose another, or put a libonnxruntime.so that has it beside "
                "the runner");
        }
        runtime.check(add(options, 0));
    } else {
        throw Problem("ONNX Runtime in a shell has no provider " + asked.provider);
    }
}

}  // namespace

Model::Model(const Runtime& runtime, const std::filesystem::path& file, const Component& component,
             const LoadOptions& asked)
    : runtime_(runtime) {
    const OrtApi& api = runtime.api();
    OrtSessionOptions* raw = nullptr;
    runtime.check(api.CreateSessionOptions(&raw));
    const std::unique_ptr<OrtSessionOptions, void (*)(OrtSessionOptions*)> options(raw, api.ReleaseSessionOptions);
    runtime.check(api.SetIntraOpNumThreads(raw, static_cast<int>(asked.threads)));
    runtime.check(api.SetInterOpNumThreads(raw, 1));
    runtime.check(api.SetSessionExecutionMode(raw, ORT_SEQUENTIAL));
    if (!asked.profile.empty()) runtime.check(api.EnableProfiling(raw, asked.profile.c_str()));
    add_provider(runtime, raw, asked);
    OrtSession* session = nullptr;
    runtime.check(api.CreateSession(runtime.environment(), file.c_str(), raw, &session));
    session_ = {session, api.ReleaseSession};
    OrtMemoryInfo* memory = nullptr;
    runtime.check(api.CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &memory));
    memory_ = {memory, api.ReleaseMemoryInfo};
    for (const auto* specs : {&component.inputs, &component.outputs}) {
        for (const TensorSpec& spec : *specs) names_.push_back(spec.name);
    }
    for (const std::string& name : names_) {
        (input_names_.size() < component.inputs.size() ? input_names_ : output_names_).push_back(name.c_str());
    }
}

Slot::Value Model::wrap(Tensor& tensor) const {
    OrtValue* value = nullptr;
    runtime_.check(runtime_.api().CreateTensorWithDataAsOrtValue(
        memory_.get(), tensor.bytes.data(), tensor.bytes.size(), tensor.shape.data(), tensor.shape.size(),
        element_type(tensor.dtype), &value));
    return {value, runtime_.api().ReleaseValue};
}

std::vector<Tensor> Model::run_once(std::vector<Tensor>& inputs) const {
    const OrtApi& api = runtime_.api();
    std::vector<Slot::Value> held;
    std::vector<const OrtValue*> bound;
    for (Tensor& input : inputs) {
        held.push_back(wrap(input));
        bound.push_back(held.back().get());
    }
    std::vector<OrtValue*> raw(output_names_.size());
    runtime_.check(api.Run(session_.get(), nullptr, input_names_.data(), bound.data(), bound.size(),
                           output_names_.data(), output_names_.size(), raw.data()));
    for (OrtValue* value : raw) held.emplace_back(value, api.ReleaseValue);
    std::vector<Tensor> outputs;
    for (OrtValue* value : raw) {
        int is_tensor = 0;
        runtime_.check(api.IsTensor(value, &is_tensor));
        if (is_tensor == 0) throw Refused("the model gives something else than tensors");
        OrtTensorTypeAndShapeInfo* info = nullptr;
        runtime_.check(api.GetTensorTypeAndShape(value, &info));
        const std::unique_ptr<OrtTensorTypeAndShapeInfo, void (*)(OrtTensorTypeAndShapeInfo*)> owned(
            info, api.ReleaseTensorTypeAndShapeInfo);
        ONNXTensorElementDataType type{};
        std::size_t rank = 0;
        runtime_.check(api.GetTensorElementType(info, &type));
        runtime_.check(api.GetDimensionsCount(info, &rank));
        std::vector<std::int64_t> shape(rank);
        runtime_.check(api.GetDimensions(info, shape.data(), rank));
        void* data = nullptr;
        runtime_.check(api.GetTensorMutableData(value, &data));
        Tensor output(dtype_of(type), shape);
        std::memcpy(output.bytes.data(), data, output.bytes.size());
        outputs.push_back(std::move(output));
    }
    return outputs;
}

std::unique_ptr<Slot> Model::bind(std::vector<Tensor> inputs, const std::vector<Tensor>& outputs) const {
    auto slot = std::make_unique<Slot>();
    slot->inputs = std::move(inputs);
    for (const Tensor& output : outputs) slot->outputs.emplace_back(output.dtype, output.shape);
    for (Tensor& input : slot->inputs) {
        slot->values_.push_back(wrap(input));
        slot->bound_inputs_.push_back(slot->values_.back().get());
    }
    for (Tensor& output : slot->outputs) {
        slot->values_.push_back(wrap(output));
        slot->bound_outputs_.push_back(slot->values_.back().get());
    }
    return slot;
}

void Model::run(Slot& slot) const {
    runtime_.check(runtime_.api().Run(session_.get(), nullptr, input_names_.data(), slot.bound_inputs_.data(),
                                      slot.bound_inputs_.size(), output_names_.data(), output_names_.size(),
                                      slot.bound_outputs_.data()));
}

std::filesystem::path Model::end_profile() const {
    const OrtApi& api = runtime_.api();
    OrtAllocator* allocator = nullptr;
    runtime_.check(api.GetAllocatorWithDefaultOptions(&allocator));
    char* path = nullptr;
    runtime_.check(api.SessionEndProfiling(session_.get(), allocator, &path));
    std::filesystem::path profile(path);
    runtime_.check(api.AllocatorFree(allocator, path));
    return profile;
}

}  // namespace pocketgan

#include "loaded.h"

#include <algorithm>

#include "drawing.h"
#include "named_files.h"
#include "patch.h"
#include "picture.h"

namespace pocketgan {
namespace {

std::vector<Tensor> read_golden(const Bundle& bundle, const std::vector<TensorSpec>& contract,
                                const std::vector<GoldenTensor>& golden) {
    std::vector<Tensor> tensors;
    for (const TensorSpec& spec : contract) {
        const auto found =
            std::find_if(golden.begin(), golden.end(), [&](const auto& one) { return one.name == spec.name; });
        if (found == golden.end()) throw Problem("the bundle has no golden values for tensor " + spec.name);
        tensors.push_back(read_tensor(bundle.folder / found->file.path, dtype_of(found->dtype), found->shape));
    }
    return tensors;
}

std::optional<std::size_t> first_picture(const std::vector<TensorSpec>& specs, const std::vector<Tensor>& tensors) {
    for (std::size_t i = 0; i < specs.size(); ++i) {
        if (needs_conversion(specs[i]) && tensors[i].dtype == DType::float32 && tensors[i].shape == specs[i].shape)
            return i;
    }
    return {};
}

}  // namespace

std::filesystem::path model_file(const Bundle& bundle, const Job& job) {
    const Entry& entry = bundle.manifest.entry(job.entry);
    const Drawing drawing = draw(bundle.manifest, entry, job.drawn);
    if (drawing.function()) {
        throw Problem("concept " + *job.drawn + " is a function of entry " + entry.id +
                      ", which the native runner cannot call");
    }
    const Component& component = component_of(entry, job.component);
    const std::string model = drawing.model(component);
    const std::filesystem::path file = bundle.folder / model;
    const auto patch = drawing.patch(component);
    if (!patch) {
        must_name_own_files(file, model, drawing.files(component));
        return file;
    }
    std::filesystem::path made;
    try {
        for (const FileRecord& one : component.files) {
            if (one.path == model && one.sha256 != patch_target(bundle.folder / *patch)) {
                throw Problem("belongs to another file than " + model);
            }
        }
        made = patched_file(file, bundle.folder / *patch, bundle.folder.parent_path() / "patched");
    } catch (const Problem& problem) {
        throw Problem(*patch + " " + problem.what());
    }
    // A patch can change any byte, so those of names too.
    must_name_own_files(made, model, {});
    return made;
}

Plan plan_model(const Bundle& bundle, const Job& job) {
    const Entry& entry = bundle.manifest.entry(job.entry);
    const Drawing drawing = draw(bundle.manifest, entry, job.drawn);
    const Component& component = component_of(entry, job.component);
    Plan plan{model_file(bundle, job), &component, entry.runtime_version, {}, {}, {}, floor_db(drawing.parity), 1};
    plan.inputs = read_golden(bundle, component.inputs, drawing.inputs);
    for (std::size_t i = 0; i < plan.inputs.size(); ++i) {
        plan.inputs[i] = plan.inputs[i].to(dtype_of(component.inputs[i].dtype));
    }
    plan.golden = read_golden(bundle, component.outputs, drawing.outputs);
    for (const TensorSpec& spec : component.outputs) plan.ranges.push_back(spec.value_range);
    // A component of several is sampled alone; the host knows how often an edit runs it.
    if (!job.component) plan.repeat = component.repeat;
    return plan;
}

Loaded::Loaded(const Model& model, Plan& plan, const std::vector<Tensor>& outputs, Clock& clock)
    : model_(model), plan_(plan), clock_(clock) {
    for (auto& slot : slots_) slot = model.bind(plan.inputs, outputs);
    picture_input_ = first_picture(plan.component->inputs, plan.inputs);
    picture_output_ = first_picture(plan.component->outputs, outputs);
    if (picture_input_) to_picture(plan.inputs[*picture_input_], plan.component->inputs[*picture_input_], picture_);
}

void Loaded::convert(std::size_t slot) {
    if (!picture_input_) return;
    to_tensor(picture_, plan_.component->inputs[*picture_input_], slots_[slot]->inputs[*picture_input_]);
}

void Loaded::infer(std::size_t slot) {
    for (std::int64_t i = 0; i < plan_.repeat; ++i) model_.run(*slots_[slot]);
    last_slot_ = slot;
}

void Loaded::finish(std::size_t slot) {
    if (!picture_output_) return;
    to_picture(slots_[slot]->outputs[*picture_output_], plan_.component->outputs[*picture_output_], shown_);
}

Frame Loaded::frame(std::int64_t round) {
    const std::int64_t started = clock_.now_ns();
    std::int64_t before = started;
    if (picture_input_) {
        convert(0);
        before = clock_.now_ns();
    }
    infer(0);
    const std::int64_t after = clock_.now_ns();
    std::int64_t ended = after;
    if (picture_output_) {
        finish(0);
        ended = clock_.now_ns();
    }
    return {started, before - started, after - before, ended - after, round, {}};
}

void Loaded::forget_outputs() {
    for (auto& slot : slots_) {
        for (Tensor& output : slot->outputs) std::fill(output.bytes.begin(), output.bytes.end(), 0xFF);
    }
}

Agreement Loaded::agreement_now() const { return agreement(slots_[last_slot_]->outputs, plan_.golden, plan_.ranges); }

}  // namespace pocketgan

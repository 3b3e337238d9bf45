#include "bundle.h"

#include <system_error>

#include "drawing.h"
#include "file_content.h"
#include "problem.h"
#include "sha256.h"

namespace pocketgan {
namespace {

constexpr std::size_t most_manifest_bytes = 8u << 20;

}  // namespace

Bundle open_bundle(const std::filesystem::path& session_folder, const std::string& digest) {
    Bundle bundle;
    bundle.folder = session_folder / "bundles" / digest;
    const std::filesystem::path path = bundle.folder / "manifest.json";
    const std::string text = file_content(path, most_manifest_bytes);
    Sha256 sha256;
    sha256.add(text.data(), text.size());
    if (sha256.digest() != digest) {
        throw Problem(path.string() +
                      ": is not the manifest of this bundle (its SHA-256 is another); push the session again");
    }
    bundle.manifest = read_manifest(text, path.string());
    return bundle;
}

void verify_file(const Bundle& bundle, const FileRecord& file) {
    const std::filesystem::path path = bundle.folder / file.path;
    std::error_code error;
    // A link could lead anywhere; the host sends files alone.
    const auto status = std::filesystem::symlink_status(path, error);
    if (error || !std::filesystem::is_regular_file(status)) {
        throw Problem(path.string() + ": is not there, or is no file; push the session again");
    }
    const auto size = std::filesystem::file_size(path, error);
    if (error || size != static_cast<std::uintmax_t>(file.bytes) || file_sha256(path) != file.sha256) {
        throw Problem(path.string() +
                      ": is not what the bundle's manifest says (size or SHA-256); push the session again");
    }
}

void verify_used(const Bundle& bundle, const Job& job, const std::function<void()>& between) {
    const Entry& entry = bundle.manifest.entry(job.entry);
    const Drawing drawing = draw(bundle.manifest, entry, job.drawn);
    for (const FileRecord& file : drawing.files(component_of(entry, job.component))) {
        between();
        verify_file(bundle, file);
    }
    for (const auto* tensors : {&drawing.inputs, &drawing.outputs}) {
        for (const GoldenTensor& tensor : *tensors) {
            between();
            verify_file(bundle, tensor.file);
        }
    }
}

}  // namespace pocketgan

package pocketgan.effects

import java.io.File
import java.io.FileOutputStream
import java.io.IOException
import java.io.OutputStream
import java.nio.channels.FileChannel
import java.nio.file.Files
import java.nio.file.Path
import java.nio.file.StandardCopyOption.ATOMIC_MOVE
import java.nio.file.StandardOpenOption.READ
import pocketgan.bundle.Bundle
import pocketgan.bundle.BundleException
import pocketgan.bundle.MANIFEST
import pocketgan.bundle.Role
import pocketgan.bundle.SIGNATURE
import pocketgan.bundle.judgeSignature
import pocketgan.bundle.mustHoldAllFilesOf
import pocketgan.bundle.openBundle
import pocketgan.bundle.openSessionBundle
import pocketgan.bundle.reading

private const val CHUNK_BYTES = 1 shl 16

/** A bundle that is whole on the disk. */
internal class Unpacked(val digest: String, val folder: Path)

/**
 * Verify all of [source] and unpack what the [runtimes] need of it into the slot, whole or not at all.
 *
 * @param isWanted false leaves it; throws if the app does not trust the bundle. Asked before anything is unpacked.
 * @return where it lies; null if it was not wanted.
 * @throws EffectException what is wrong with it, or that it cannot be read or stored; nothing has changed then.
 */
internal fun unpack(
    source: BundleSource, slot: Slot, runtimes: Set<String>, isWanted: (Bundle) -> Boolean,
): Unpacked? {
    slot.incoming.deleteRecursively()
    slot.incoming.mkdirs()
    try {
        val file = source.file ?: File(slot.incoming, "bundle.pgb").also { copy(source, it) }
        return openBundle(file.toPath()).use { bundle ->
            mustBeOneModel(bundle)
            if (!isWanted(bundle)) return null
            val folder = File(slot.incoming, "unpacked")
            write(bundle, folder, runtimes)
            mustBeSound(folder.toPath(), bundle.digest, runtimes)
            Unpacked(bundle.digest, slot.newBundle(bundle.digest).also { moveWhole(folder.toPath(), it) })
        }
    } catch (problem: BundleException) {
        val path = source.file ?: File(slot.incoming, "bundle.pgb")
        throw EffectException("${source.name}: ${"${problem.message}".removePrefix("$path: ")}", problem)
    } catch (problem: IOException) {
        throw EffectException("${source.name}: cannot be unpacked: ${problem.message ?: problem}", problem)
    } finally {
        slot.incoming.deleteRecursively()
    }
}

/** What the manifest itself says about an unpacked bundle: that it is [digest], and signed by the key if there is one. */
internal fun openTrusted(path: Path, digest: String, options: EffectOptions): Bundle =
    openSessionBundle(path, digest).also {
        try {
            mustBeTrusted(it, options)
        } catch (problem: EffectException) {
            it.close()
            throw problem
        }
    }

/**
 * The signature is of the app's key, or the app lets unsigned bundles in and there is none.
 *
 * @throws NotTrustedException else.
 */
internal fun mustBeTrusted(bundle: Bundle, options: EffectOptions) {
    val state = judgeSignature(bundle.manifestBytes, bundle.signatureBytes, options.key)
    val name = bundle.manifest.name
    if (!state.signed) {
        if (options.allowUnsigned) return
        throw NotTrustedException("bundle $name is not signed; sign it (pocketgan bundle sign), or allow unsigned ones")
    }
    state.problem?.let { throw NotTrustedException("bundle $name: $it") }
    if (options.key == null && !options.allowUnsigned) {
        throw NotTrustedException("bundle $name is signed, but the app has no key to know it by; give it the public key")
    }
}

private fun mustBeOneModel(bundle: Bundle) {
    if (bundle.manifest.role != Role.DIFFUSION) return
    val name = bundle.manifest.name
    throw EffectException("bundle $name is a diffusion editor of several models; effects are of one model")
}

private fun copy(source: BundleSource, into: File) =
    source.open().use { from -> FileOutputStream(into).use { from.copyTo(it, CHUNK_BYTES) } }

/** Every file is read to its end, where its hash is judged; those that are needed here are written. */
private fun write(bundle: Bundle, folder: File, runtimes: Set<String>) {
    val wanted = filesFor(bundle, runtimes)
    for (record in bundle.manifest.files()) {
        reading(bundle.path) {
            bundle.open(record.path).use { from ->
                if (record.path in wanted) stored(File(folder, record.path)) { from.copyTo(it, CHUNK_BYTES) }
                else from.copyTo(NOWHERE, CHUNK_BYTES)
            }
        }
    }
    stored(File(folder, MANIFEST)) { it.write(bundle.manifestBytes) }
    bundle.signatureBytes?.let { signature -> stored(File(folder, SIGNATURE)) { it.write(signature) } }
}

private fun filesFor(bundle: Bundle, runtimes: Set<String>): Set<String> {
    val entries = bundle.manifest.entries.filter { it.runtime in runtimes }
    val forms = bundle.manifest.concepts.flatMap { it.forms }.filter { form -> entries.any { it.id == form.entry } }
    val drawn = (entries.map { it.golden } + forms.map { it.golden }).toSet()
    val inputs = bundle.manifest.golden.filter { it.id in drawn }.mapNotNull { it.inputsOf }
    val golden = bundle.manifest.golden.filter { it.id in drawn || it.id in inputs }
    val records = entries.flatMap { entry -> entry.components.flatMap { it.files } } +
        golden.flatMap { set -> (set.inputs + set.outputs).map { it.file } } + bundle.manifest.licenses
    return records.map { it.path }.toSet()
}

/** As it lies on the disk now, models that name other files among what is judged. */
internal fun mustBeSound(folder: Path, digest: String, runtimes: Set<String>) =
    openSessionBundle(folder, digest).use { bundle ->
        bundle.manifest.entries.filter { it.runtime in runtimes }.forEach { mustHoldAllFilesOf(bundle, it) }
    }

private fun stored(file: File, write: (OutputStream) -> Unit) {
    file.parentFile?.mkdirs()
    FileOutputStream(file).use {
        write(it)
        it.fd.sync()
    }
}

/** After the move, power may go: the files are on the disk before their folder has its name. */
private fun moveWhole(folder: Path, place: Path) {
    Files.walk(folder).use { all -> all.filter { Files.isDirectory(it) }.forEach(::sync) }
    Files.createDirectories(place.parent)
    Files.move(folder, place, ATOMIC_MOVE)
    sync(place.parent)
}

private fun sync(folder: Path) = FileChannel.open(folder, READ).use { it.force(true) }

private val NOWHERE = object : OutputStream() {
    override fun write(one: Int) = Unit

    override fun write(bytes: ByteArray, offset: Int, length: Int) = Unit
}

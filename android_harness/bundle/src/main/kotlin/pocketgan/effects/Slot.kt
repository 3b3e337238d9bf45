package pocketgan.effects

import android.system.Os
import java.io.File
import java.io.RandomAccessFile
import java.nio.file.Files
import java.nio.file.Path
import java.util.concurrent.ConcurrentHashMap
import pocketgan.bundle.FileMemory
import pocketgan.bundle.PatchedFiles

private val NAME = Regex("[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
private const val LOCK = "lock"

/** One process may not lock a file twice; its threads wait here. */
private val LOCKS = ConcurrentHashMap<File, Any>()

/**
 * The folder of one effect of the app: its bundles, unpacked, and what is remembered of them; and one in the app's [cache],
 * which Android empties when storage is short.
 */
internal class Slot(root: File, cache: File, val name: String) {
    init {
        require(NAME.matches(name)) { "an effect is called by letters, digits, dots and dashes, not '$name'" }
    }

    private val folder = File(root, name)
    private val bundles = File(folder, "bundles")
    private val choices = File(folder, "choices")
    val installed = JsonFile(File(folder, "installed.json"), Installed.serializer())
    val trying = JsonFile(File(folder, "trying.json"), Trying.serializer())

    private val patches = File(cache, name)
    private val patched = JsonFile(File(folder, "patched.json"), Patched.serializer())

    /** For what is not whole yet. */
    val incoming = File(folder, "incoming")

    fun bundle(installed: Installed): Path = File(bundles, installed.folder).toPath()

    /** A name that no folder has: what is installed is never in the way of what is to be. */
    fun newBundle(digest: String): Path =
        generateSequence(0) { it + 1 }.map { File(bundles, "$digest.$it") }.first { !it.exists() }.toPath()

    /** How a bundle ran; of a concept that not all of its entries draw, how they drew that one. */
    fun choice(digest: String, concept: String? = null) =
        JsonFile(File(choices, listOfNotNull(digest, concept, "json").joinToString(".")), Choice.serializer())

    /** Where the files lie that a bundle's patches make. */
    fun patched(digest: String) = PatchedFiles(File(patches, digest).toPath(), PatchMemory(patched))

    /** Lets one process and one thread in at a time. */
    fun <T> exclusively(work: () -> T): T =
        synchronized(LOCKS.getOrPut(folder.absoluteFile) { Any() }) {
            folder.mkdirs()
            RandomAccessFile(File(folder, LOCK), "rw").use { file -> file.channel.lock().use { work() } }
        }

    /** Remove what was not finished, and bundles but the installed one. */
    fun sweep(installed: Installed?) {
        incoming.deleteRecursively()
        bundles.listFiles().orEmpty().filter { it.name != installed?.folder }.forEach { it.deleteRecursively() }
    }

    /** Forget how bundles ran that are not the installed one. Before it runs, not even those that were refused. */
    fun forgetOthers(digest: String) {
        choices.listFiles().orEmpty().filterNot { it.name.startsWith("$digest.") }.forEach { it.delete() }
        patches.listFiles().orEmpty().filter { it.name != digest }.forEach { it.deleteRecursively() }
    }

    /** Forget how that bundle ran. */
    fun forget(digest: String) =
        choices.listFiles().orEmpty().filter { it.name.startsWith("$digest.") }.forEach { it.delete() }

    /** All but the lock, which others may wait for. */
    fun remove() {
        folder.listFiles().orEmpty().filter { it.name != LOCK }.forEach { it.deleteRecursively() }
        patches.deleteRecursively()
    }
}

/** Knows files by what changes with their content. */
private class PatchMemory(private val known: JsonFile<Patched>) : FileMemory {
    override fun isUnchanged(file: Path) = known.read()?.files?.get("$file") == stampOf(file)

    override fun remember(file: Path) {
        val others = known.read()?.files.orEmpty().filterKeys { it != "$file" && File(it).exists() }
        known.write(Patched(others + ("$file" to stampOf(file))))
    }
}

/**
 * Size, number and times of each file: they change when its content does. No app can set the time of the last change of
 * status (ctime); only who owns the whole phone can.
 */
internal fun stampsOf(folder: Path): Map<String, String> =
    Files.walk(folder).use { all ->
        all.iterator().asSequence().filter { Files.isRegularFile(it) }.associate { file ->
            "${folder.relativize(file)}" to stampOf(file)
        }
    }

private fun stampOf(file: Path): String {
    val status = Os.stat("$file")
    return "${status.st_size} ${status.st_ino} ${Files.getLastModifiedTime(file).toMillis()} ${status.st_ctime}"
}

package pocketgan.effects

import android.system.Os
import java.io.File
import java.io.RandomAccessFile
import java.nio.file.Files
import java.nio.file.Path
import java.util.concurrent.ConcurrentHashMap

private val NAME = Regex("[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
private const val LOCK = "lock"

/** One process may not lock a file twice; its threads wait here. */
private val LOCKS = ConcurrentHashMap<File, Any>()

/** The folder of one effect of the app: its bundles, unpacked, and what is remembered of them. */
internal class Slot(root: File, val name: String) {
    init {
        require(NAME.matches(name)) { "an effect is called by letters, digits, dots and dashes, not '$name'" }
    }

    private val folder = File(root, name)
    private val bundles = File(folder, "bundles")
    private val choices = File(folder, "choices")
    val installed = JsonFile(File(folder, "installed.json"), Installed.serializer())
    val trying = JsonFile(File(folder, "trying.json"), Trying.serializer())

    /** For what is not whole yet. */
    val incoming = File(folder, "incoming")

    fun bundle(installed: Installed): Path = File(bundles, installed.folder).toPath()

    /** A name that no folder has: what is installed is never in the way of what is to be. */
    fun newBundle(digest: String): Path =
        generateSequence(0) { it + 1 }.map { File(bundles, "$digest.$it") }.first { !it.exists() }.toPath()

    fun choice(digest: String) = JsonFile(File(choices, "$digest.json"), Choice.serializer())

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
    fun forgetOthers(digest: String) =
        choices.listFiles().orEmpty().filter { it.name != "$digest.json" }.forEach { it.delete() }

    /** All but the lock, which others may wait for. */
    fun remove() = folder.listFiles().orEmpty().filter { it.name != LOCK }.forEach { it.deleteRecursively() }
}

/**
 * Size, number and times of each file: they change when its content does. No app can set the time of the last change of
 * status (ctime); only who owns the whole phone can.
 */
internal fun stampsOf(folder: Path): Map<String, String> =
    Files.walk(folder).use { all ->
        all.iterator().asSequence().filter { Files.isRegularFile(it) }.associate { file ->
            val status = Os.stat("$file")
            val changed = Files.getLastModifiedTime(file).toMillis()
            "${folder.relativize(file)}" to "${status.st_size} ${status.st_ino} $changed ${status.st_ctime}"
        }
    }

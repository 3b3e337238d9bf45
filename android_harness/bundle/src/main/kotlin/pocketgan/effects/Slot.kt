package pocketgan.effects

import java.io.File
import java.io.RandomAccessFile
import java.nio.file.Path
import java.util.concurrent.ConcurrentHashMap

private val NAME = Regex("[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

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

    fun bundle(digest: String): Path = File(bundles, digest).toPath()

    fun choice(digest: String) = JsonFile(File(choices, "$digest.json"), Choice.serializer())

    /** Lets one process and one thread in at a time. */
    fun <T> exclusively(work: () -> T): T =
        synchronized(LOCKS.getOrPut(folder.absoluteFile) { Any() }) {
            folder.mkdirs()
            RandomAccessFile(File(folder, "lock"), "rw").use { file -> file.channel.lock().use { work() } }
        }

    /** Remove what no [digest] needs, and what was not finished. */
    fun sweep(digest: String?) {
        incoming.deleteRecursively()
        bundles.listFiles().orEmpty().filter { it.name != digest }.forEach { it.deleteRecursively() }
        choices.listFiles().orEmpty().filter { it.name != "$digest.json" }.forEach { it.delete() }
    }

    fun remove() = folder.deleteRecursively()
}

package pocketgan.bundle

import java.nio.channels.FileChannel
import java.nio.file.Files
import java.nio.file.Path
import java.nio.file.StandardCopyOption.ATOMIC_MOVE
import java.nio.file.StandardCopyOption.REPLACE_EXISTING
import java.nio.file.StandardOpenOption.READ
import java.nio.file.StandardOpenOption.WRITE
import java.security.MessageDigest

/** Each is as large as the network: twenty effects would fill a phone. */
private const val MOST_KEPT = 6
private const val PARTIAL = ".partial"

/** Tells of a file that was right once whether it is still the same, without reading it. */
interface FileMemory {
    fun isUnchanged(file: Path): Boolean

    /** It is right now. */
    fun remember(file: Path)
}

/** Reads every time. */
object NoMemory : FileMemory {
    override fun isUnchanged(file: Path) = false

    override fun remember(file: Path) = Unit
}

/**
 * The files that come of patches, each under the SHA-256 of its content, whole or not at all; the ones that were made last
 * are kept. For one thread at a time.
 *
 * @param folder of theirs alone; it need not exist.
 */
class PatchedFiles(private val folder: Path, private val memory: FileMemory = NoMemory) {
    /**
     * The file that [steps], patches put in one after the other, make of [target]; made if it is not there.
     *
     * @throws DamageException what came of it is not what the last patch names.
     * @throws java.io.IOException it cannot be stored.
     */
    internal fun file(target: Path, steps: List<Patch>): Path {
        val plan = steps.last().plan
        val extension = "${target.fileName}".substringAfterLast('.', "model")
        val file = folder.resolve("${plan.resultSha256}.$extension")
        if (isWhole(file, plan.resultSha256)) return file
        Files.createDirectories(folder)
        others(file).filter { "${it.fileName}".endsWith(PARTIAL) }.forEach { Files.deleteIfExists(it) }
        // Room is made before it is needed.
        others(file).sortedByDescending { Files.getLastModifiedTime(it) }.drop(MOST_KEPT - 1).forEach {
            Files.deleteIfExists(it)
        }
        val partial = Files.createTempFile(folder, "new", PARTIAL)
        try {
            Files.copy(target, partial, REPLACE_EXISTING)
            if (Files.size(partial) != plan.targetBytes) throw DamageException("is a patch of another file")
            FileChannel.open(partial, READ, WRITE).use { channel ->
                steps.forEach { it.putInto(channel) }
                channel.force(true)
            }
            // A right result is of the right target.
            if (sha256Of(partial) != plan.resultSha256) {
                throw DamageException("gives another file than it says: it is damaged, or of another file")
            }
            Files.move(partial, file, ATOMIC_MOVE)
        } finally {
            Files.deleteIfExists(partial)
        }
        // Whether a power cut leaves its name does not matter: without one it is made again.
        memory.remember(file)
        return file
    }

    private fun isWhole(file: Path, sha256: String): Boolean {
        if (!Files.isRegularFile(file)) return false
        if (memory.isUnchanged(file)) return true
        if (sha256Of(file) != sha256) return false
        memory.remember(file)
        return true
    }

    private fun others(file: Path): List<Path> = Files.newDirectoryStream(folder).use { all -> all.filter { it != file } }
}

private fun sha256Of(file: Path): String {
    val hash = MessageDigest.getInstance("SHA-256")
    val chunk = ByteArray(CHUNK_BYTES)
    Files.newInputStream(file).use { from ->
        generateSequence { from.read(chunk).takeIf { it >= 0 } }.forEach { hash.update(chunk, 0, it) }
    }
    return hex(hash.digest())
}

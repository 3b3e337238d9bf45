package pocketgan.bundle

import java.io.Closeable
import java.io.InputStream
import java.nio.file.Files
import java.nio.file.Path
import java.security.MessageDigest
import pocketgan.json.quote

/**
 * An open bundle, made by [openBundle]. Its files' hashes are checked whenever they are read.
 *
 * @property path the `.pgb` file or folder.
 */
class Bundle internal constructor(val path: Path, private val source: Source) : Closeable {
    /** `manifest.json` as it is stored. */
    val manifestBytes: ByteArray

    /** `signature.json` as it is stored, null in an unsigned bundle; [judgeSignature] judges it. */
    val signatureBytes: ByteArray?

    /** What the bundle says of itself. */
    val manifest: Manifest

    /** Hex SHA-256 of `manifest.json`, the bundle's identity. */
    val digest: String

    private val records: Map<String, FileRecord>

    init {
        if (MANIFEST !in source.sizes) throw NotABundleException("$path: is no bundle: there is no $MANIFEST in it")
        manifestBytes = readSmall(MANIFEST, MAX_MANIFEST_BYTES)
        signatureBytes = if (SIGNATURE in source.sizes) readSmall(SIGNATURE, MAX_SIGNATURE_BYTES) else null
        manifest = readManifest(manifestBytes)
        digest = hex(MessageDigest.getInstance("SHA-256").digest(manifestBytes))
        records = manifest.files().associateBy { it.path }
    }

    /** Names of the files that are there, manifest and signature among them. */
    internal val there: Set<String> get() = source.sizes.keys

    /**
     * The bytes of a listed file. Believe them only once the end has come: there a wrong hash is a DamageException, so
     * read within [reading].
     */
    fun open(name: String): InputStream {
        val record = records[name] ?: throw DamageException("lists no file ${quote(name)}")
        return HashedFile(source.open(name), record)
    }

    /**
     * The bytes of a listed file, all of which lie in memory then.
     *
     * @throws BundleException the manifest does not list it, or its content is not what the manifest says.
     */
    fun read(name: String): ByteArray = reading(path) { open(name).use { it.readBytes() } }

    /**
     * The entry with that id.
     *
     * @throws BundleException there is none.
     */
    fun entry(id: String): Entry =
        manifest.entries.firstOrNull { it.id == id } ?: throw BundleException(
            "$path: has no entry ${quote(id)}; it has: ${manifest.entries.joinToString { it.id }}",
        )

    /** Where the files that are there are not those that the manifest lists. */
    fun listingProblems(): List<String> {
        val sizes = source.sizes - MANIFEST - SIGNATURE
        return (records.keys - sizes.keys).sorted().map { "misses $it" } +
            (sizes.keys - records.keys).sorted().map { "holds $it, which the manifest does not list" } +
            sizeProblems(records.values) +
            shapeProblems(manifest)
    }

    /** Those of [files] that are there, but not as large as the manifest says. */
    internal fun sizeProblems(files: Collection<FileRecord>): List<String> =
        files.sortedBy { it.path }.mapNotNull { record ->
            val size = source.sizes[record.path]
            if (size == null || size == record.bytes) return@mapNotNull null
            "${record.path} has $size bytes, the manifest says ${record.bytes}"
        }

    override fun close() = source.close()

    private fun readSmall(name: String, limit: Int): ByteArray {
        val size = source.sizes.getValue(name)
        if (size > limit) throw DamageException("$name is too large ($size bytes; at most $limit)")
        return source.open(name).use { it.readBytes() }
    }
}

/**
 * Open a `.pgb` file or an unpacked bundle. Names, sizes, headers and the manifest are checked here, the hash of each
 * file when it is read.
 *
 * @throws BundleException there is no bundle, or it is damaged, hostile, incomplete or of a newer format.
 */
fun openBundle(path: Path): Bundle = reading(path) {
    mustLookLikeBundle(path)
    opened(path) { bundle ->
        val problems = bundle.listingProblems()
        if (problems.isEmpty()) return@opened
        val partly = Files.isDirectory(path) && problems.all { it.startsWith("misses ") }
        val more = if (problems.size > 1) " (and ${problems.size - 1} more)" else ""
        val hint = if (partly) "; a folder unpacked with --entry is not a whole bundle" else ""
        throw DamageException("${problems[0]}$more$hint")
    }
}

/** A bundle that [check] does not refuse, else its files are closed again. */
internal inline fun opened(path: Path, check: (Bundle) -> Unit): Bundle {
    val source = openSource(path)
    try {
        return Bundle(path, source).also(check)
    } catch (problem: Throwable) {
        source.close()
        throw problem
    }
}

/** A file whose SHA-256 is judged when it ends. */
private class HashedFile(private val file: InputStream, private val record: FileRecord) : InputStream() {
    private val hash = MessageDigest.getInstance("SHA-256")

    override fun read(): Int {
        val one = ByteArray(1)
        return if (read(one, 0, 1) < 0) -1 else one[0].toInt() and 0xff
    }

    override fun read(into: ByteArray, offset: Int, length: Int): Int {
        val count = file.read(into, offset, length)
        if (count > 0) hash.update(into, offset, count)
        if (count < 0 && hex(hash.digest()) != record.sha256) {
            throw DamageException("${record.path} is damaged: its SHA-256 is not the one in the manifest")
        }
        return count
    }

    override fun close() = file.close()
}

private const val HEX_DIGITS = "0123456789abcdef"

internal fun hex(bytes: ByteArray): String = buildString(bytes.size * 2) {
    for (byte in bytes) append(HEX_DIGITS[(byte.toInt() shr 4) and 15]).append(HEX_DIGITS[byte.toInt() and 15])
}

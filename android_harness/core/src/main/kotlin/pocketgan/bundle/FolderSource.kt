package pocketgan.bundle

import java.io.InputStream
import java.nio.channels.Channels
import java.nio.file.Files
import java.nio.file.LinkOption.NOFOLLOW_LINKS
import java.nio.file.Path
import java.nio.file.StandardOpenOption.READ
import java.nio.file.attribute.BasicFileAttributes

/** The files of an unpacked bundle; links and devices in it are refused. */
class FolderSource(private val root: Path) : Source {
    override val sizes: Map<String, Long>

    init {
        val sizes = HashMap<String, Long>()
        val folders = ArrayDeque(listOf(""))
        while (folders.isNotEmpty()) {
            val folder = folders.removeLast()
            Files.newDirectoryStream(root.resolve(folder)).use { items ->
                for (item in items) {
                    val name = if (folder.isEmpty()) "${item.fileName}" else "$folder/${item.fileName}"
                    mustBeSafe(name)
                    val status = Files.readAttributes(item, BasicFileAttributes::class.java, NOFOLLOW_LINKS)
                    if (status.isDirectory) {
                        folders += name
                        continue
                    }
                    if (!status.isRegularFile) {
                        val kind = if (status.isSymbolicLink) "link" else "device"
                        throw DamageException("$name is a $kind; a bundle holds files only")
                    }
                    sizes[name] = status.size()
                    if (sizes.size + folders.size > MAX_FILES) {
                        throw DamageException("holds too many files (at most $MAX_FILES)")
                    }
                }
            }
        }
        mustDiffer(sizes.keys)
        this.sizes = sizes
    }

    override fun open(name: String): InputStream {
        // The folder may change between the listing and this: a link put in its place is not followed.
        val channel = Files.newByteChannel(root.resolve(name), setOf(READ, NOFOLLOW_LINKS))
        return StatedLength(Channels.newInputStream(channel), name, sizes.getValue(name))
    }

    override fun close() = Unit
}

/** A file that has as many bytes as were seen when the folder was listed. */
private class StatedLength(private val file: InputStream, private val name: String, private var left: Long) :
    InputStream() {
    override fun read(): Int {
        val one = ByteArray(1)
        return if (read(one, 0, 1) < 0) -1 else one[0].toInt() and 0xff
    }

    override fun read(into: ByteArray, offset: Int, length: Int): Int {
        val count = file.read(into, offset, length)
        left -= maxOf(count, 0)
        if (left < 0 || (count < 0 && left != 0L)) throw DamageException("$name changed while it was read")
        return count
    }

    override fun close() = file.close()
}

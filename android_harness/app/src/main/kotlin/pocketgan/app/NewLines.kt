package pocketgan.app

import java.io.RandomAccessFile
import java.nio.file.Path

/** The lines of a file that grows, each looked at once. */
internal class NewLines(private val path: Path) {
    private var offset = 0L
    private var rest = ByteArray(0)

    /** How many whole new lines begin so. */
    fun count(start: ByteArray): Int {
        val file = path.toFile()
        if (file.length() <= offset) return 0
        val read = RandomAccessFile(file, "r").use {
            it.seek(offset)
            ByteArray((it.length() - offset).toInt()).also(it::readFully)
        }
        offset += read.size
        val bytes = rest + read
        var count = 0
        var from = 0
        for (at in bytes.indices) {
            if (bytes[at] != '\n'.code.toByte()) continue
            if (at - from >= start.size && start.indices.all { bytes[from + it] == start[it] }) count++
            from = at + 1
        }
        rest = bytes.copyOfRange(from, bytes.size)
        return count
    }
}

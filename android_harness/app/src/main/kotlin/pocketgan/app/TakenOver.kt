package pocketgan.app

import java.io.File
import java.io.IOException
import java.util.zip.ZipException
import java.util.zip.ZipFile

/**
 * Copies a session that lies where the app may read and not write, such as /data/local/tmp: a folder, or a ZIP of one.
 *
 * @throws IOException there is none, or no room for it.
 */
internal fun takeOver(from: File, target: File) {
    when {
        from.isDirectory -> from.copyRecursively(target, overwrite = true)
        from.isFile -> unzip(from, target)
        else -> throw IOException("$from is not there, or the app may not read it")
    }
}

private fun unzip(from: File, target: File) {
    try {
        ZipFile(from).use { packed ->
            for (entry in packed.entries()) {
                val path = target.toPath().resolve(entry.name).normalize()
                if (!path.startsWith(target.toPath())) throw IOException("$from: ${entry.name} lies outside of it")
                if (entry.isDirectory) continue
                path.parent.toFile().mkdirs()
                packed.getInputStream(entry).use { content -> path.toFile().outputStream().use(content::copyTo) }
            }
        }
    } catch (problem: ZipException) {
        throw IOException("$from is no folder and no ZIP: ${problem.message}")
    }
}

package pocketgan.bundle

import java.io.Closeable
import java.io.InputStream
import java.nio.file.Files
import java.nio.file.Path

const val MANIFEST = "manifest.json"
const val SIGNATURE = "signature.json"

/** Where the files of a bundle lie: in a ZIP or in a folder. Neither is trusted. */
interface Source : Closeable {
    /** What is really there, in bytes, by name. */
    val sizes: Map<String, Long>

    /** The file's bytes; reading throws a DamageException at the end if they are not what the headers promise. */
    fun open(name: String): InputStream
}

/** The files of the ZIP or the folder at [path]; call it within [reading]. */
fun openSource(path: Path): Source = if (Files.isDirectory(path)) FolderSource(path) else ZipSource(path)

/** NotABundleException unless there is a folder with a manifest, or a file that starts as a ZIP does. */
fun mustLookLikeBundle(path: Path) {
    if (Files.isDirectory(path)) {
        if (!Files.isRegularFile(path.resolve(MANIFEST))) {
            throw NotABundleException("$path: is no bundle: the folder has no $MANIFEST")
        }
        return
    }
    if (!Files.isRegularFile(path)) {
        val what = if (Files.exists(path)) "is neither a file nor a folder" else "there is no such file"
        throw NotABundleException("$path: $what")
    }
    val start = ByteArray(4)
    val count = Files.newInputStream(path).use { it.read(start) }
    if (count < 4 || !start.contentEquals(LOCAL_MARK)) {
        throw NotABundleException("$path: is no bundle (a .pgb file is a ZIP)")
    }
}

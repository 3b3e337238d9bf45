package pocketgan.effects

import android.content.Context
import android.net.Uri
import java.io.File
import java.io.FileNotFoundException
import java.io.InputStream

/**
 * Where an app has a `.pgb` from.
 *
 * @property name what messages call it.
 * @property stamp changes whenever the content may have changed: what has the stamp of the last installation is not
 *   read again. Null where nothing tells; then it is read each time.
 */
abstract class BundleSource internal constructor(internal val name: String, internal val stamp: String?) {
    /** The file, if it is one. */
    internal open val file: File? get() = null

    internal abstract fun open(): InputStream

    companion object {
        /** A `.pgb` file, such as a download, or an unpacked bundle. */
        @JvmStatic
        fun file(file: File): BundleSource = FileBundle(file)

        /** A file in the app's assets; it changes with the app alone. */
        @JvmStatic
        fun asset(context: Context, path: String): BundleSource = AssetBundle(context, path)

        /** What another app hands over, such as a file picker; read each time. */
        @JvmStatic
        fun uri(context: Context, uri: Uri): BundleSource = UriBundle(context, uri)

        /** A stream, read once to its end and closed; it serves for one call. */
        @JvmStatic
        fun stream(name: String, stream: InputStream): BundleSource = StreamBundle(name, stream)
    }
}

private class FileBundle(override val file: File) :
    BundleSource("$file", if (file.isFile) "$file ${file.length()} ${file.lastModified()}" else null) {
    override fun open(): InputStream = file.inputStream()
}

private class AssetBundle(private val context: Context, private val path: String) :
    BundleSource("asset $path", "asset $path ${appVersion(context)}") {
    override fun open(): InputStream = context.assets.open(path)
}

private class UriBundle(private val context: Context, private val uri: Uri) : BundleSource("$uri", null) {
    override fun open(): InputStream =
        context.contentResolver.openInputStream(uri) ?: throw FileNotFoundException("nobody provides it")
}

private class StreamBundle(name: String, private val stream: InputStream) : BundleSource(name, null) {
    override fun open(): InputStream = stream
}

package pocketgan.effects

import android.content.Context
import android.graphics.Bitmap
import android.net.Uri
import android.os.Looper
import java.io.ByteArrayInputStream
import java.io.File
import java.io.IOException
import java.io.InputStream
import java.io.SequenceInputStream
import java.util.concurrent.Callable
import java.util.concurrent.ExecutionException
import java.util.concurrent.Executors
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertFalse
import kotlin.test.assertNull
import kotlin.test.assertTrue
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import pocketgan.bundle.Role

private val WORKER = Executors.newSingleThreadExecutor { Thread(it).apply { isDaemon = true } }

/** Effects are not opened on the main thread, which a test's is. */
internal fun <T> onWorker(work: () -> T): T =
    try {
        WORKER.submit(Callable(work)).get()
    } catch (failed: ExecutionException) {
        throw failed.cause!!
    }

/** A source that counts how often it is read. */
internal class CountedSource(private val content: ByteArray, stamp: String?) : BundleSource("counted", stamp) {
    var reads = 0

    override fun open(): InputStream {
        reads += 1
        return content.inputStream()
    }
}

@RunWith(RobolectricTestRunner::class)
class EffectsTest {
    private val context: Context = RuntimeEnvironment.getApplication()
    private val key = TestKey()
    private val clock = ScriptedClock()
    private val engine = ScriptedEngine(clock, listOf("one", "two", "three", "a", "b").associateWith { Script() })
    private val folder = File(context.noBackupFilesDir, "pocketgan/e")

    private fun effects(options: EffectOptions = EffectOptions(key.pem)) =
        Effects(context, listOf(engine), options, clock)

    private fun open(bundle: ByteArray?, options: EffectOptions = EffectOptions(key.pem)): Effect = onWorker {
        effects(options).open("e", bundle?.let { BundleSource.stream("x.pgb", it.inputStream()) })
    }

    private fun refusal(bundle: ByteArray?, options: EffectOptions = EffectOptions(key.pem)): String =
        assertFailsWith<EffectException> { open(bundle, options) }.message!!

    /** A bundle with one entry of that name, signed. */
    private fun bundle(id: String, key: TestKey? = this.key) = testBundle(scripted(id), name = id, key = key)

    private fun unpacked(part: String) = folder.walk().single { it.path.endsWith(part) }

    @Test
    fun `bundle that is signed by the app's key runs`() = assertEquals("one", open(bundle("one")).entry)

    @Test
    fun `key may be given as the base64 of its bytes`() =
        assertEquals("one", open(bundle("one"), EffectOptions(key.public)).entry)

    @Test
    fun `what is no key is refused at once`() {
        for (text in listOf("?", "", "AAAA", TestKey().pem.replace("MCow", "MCoQ"))) {
            assertFailsWith<IllegalArgumentException> { EffectOptions(text) }
        }
    }

    @Test
    fun `unsigned bundle needs the app's consent`() {
        val unsigned = bundle("one", key = null)
        assertTrue("bundle one is not signed" in refusal(unsigned))
        assertEquals("one", open(unsigned, EffectOptions(key.pem, allowUnsigned = true)).entry)
    }

    @Test
    fun `bundle signed by another key is refused, with consent to unsigned ones too`() {
        val other = bundle("one", key = TestKey())
        assertTrue("is signed by another key" in refusal(other))
        assertTrue("is signed by another key" in refusal(other, EffectOptions(key.pem, allowUnsigned = true)))
    }

    @Test
    fun `without a key nothing is trusted`() =
        assertTrue("give it the public key" in refusal(bundle("one"), EffectOptions(null)))

    @Test
    fun `bundle that was changed after it was signed is refused`() {
        val bytes = bundle("one")
        bytes[String(bytes, Charsets.ISO_8859_1).indexOf("one")] = 'O'.code.toByte()
        assertTrue("x.pgb: " in refusal(bytes))
        assertEquals("no effect e is installed; give its bundle", refusal(null))
    }

    @Test
    fun `model that was changed is refused by its hash`() {
        // Its CRC is right, as whoever changes it would see to; the manifest, and so the signature, is the first one's.
        val (first, second) = listOf("one", "two").map { unzipped(testBundle(scripted(it), name = "one", key = key)) }
        val changed = first + ("models/one/main/model.onnx" to second.getValue("models/two/main/model.onnx"))
        assertTrue("models/one/main/model.onnx is damaged: its SHA-256 is not the one" in refusal(zipped(changed)))
    }

    @Test
    fun `what is no bundle is refused`() =
        assertEquals("x.pgb: is no bundle (a .pgb file is a ZIP)", refusal("hello".toByteArray()))

    @Test
    fun `installed bundle runs without its source`() {
        open(bundle("one")).close()
        assertEquals("one", open(null).entry)
    }

    @Test
    fun `next bundle takes the place of the last`() {
        open(bundle("one")).close()
        assertEquals("two", open(bundle("two")).entry)
        assertEquals("two", open(null).entry)
        assertEquals(1, File(folder, "bundles").list()!!.size)
    }

    @Test
    fun `last good one is kept where the next does not verify`() {
        open(bundle("one")).close()
        val effect = open(bundle("two", key = TestKey()))
        assertEquals("one", effect.entry)
        assertTrue("is signed by another key" in effect.refused!!.message!!)
        assertEquals("one", open(bundle("two").dropLast(9).toByteArray()).entry)
        assertNull(open(null).refused)
    }

    @Test
    fun `last good one is kept where no entry of the next runs`() {
        open(bundle("one")).close()
        val effect = open(testBundle(scripted("two"), name = "next", key = key, goldenOutput = { it / 2 }))
        assertEquals("one", effect.entry)
        assertTrue("wrong output" in effect.refused!!.message!!)
        assertEquals("one", open(null).entry)
    }

    @Test
    fun `last good one is kept where the next cannot be read to its end`() {
        open(bundle("one")).close()
        val breaks = object : InputStream() {
            override fun read(): Int = throw IOException("No space left on device")
        }
        val cut = SequenceInputStream(ByteArrayInputStream(bundle("two").copyOf(100)), breaks)
        val effect = onWorker { effects().open("e", BundleSource.stream("x.pgb", cut)) }
        assertEquals("one", effect.entry)
        assertEquals("x.pgb: cannot be unpacked: No space left on device", effect.refused!!.message)
    }

    @Test
    fun `what a power cut leaves is swept away`() {
        open(bundle("one")).close()
        val half = File(folder, "incoming/unpacked").apply { mkdirs() }
        File(half, "manifest.json").writeText("{")
        val whole = File(folder, "bundles/0123.0").apply { mkdirs() }
        assertEquals("one", open(null).entry)
        assertFalse(half.exists())
        assertFalse(whole.exists())
    }

    @Test
    fun `older bundle needs the app's consent`() {
        open(bundle("one")).close()
        open(bundle("two")).close()
        val effect = open(bundle("one"))
        assertEquals("two", effect.entry)
        assertEquals("bundle one is older than the installed one, which replaced it", effect.refused!!.message)
        assertEquals("one", open(bundle("one"), EffectOptions(key.pem, allowOlder = true)).entry)
        assertEquals("one", open(null).entry)
    }

    @Test
    fun `bundle of the app's assets does not undo a download at the next start`() {
        val shipped = CountedSource(bundle("one"), stamp = "asset, app 1")
        onWorker { effects().open("e", shipped).close() }
        open(bundle("two")).close()
        assertEquals("two", onWorker { effects().open("e", shipped) }.entry)
    }

    @Test
    fun `source with the stamp of the installed bundle is not read again`() {
        val source = CountedSource(bundle("one"), stamp = "1")
        repeat(2) { onWorker { effects().open("e", source).close() } }
        assertEquals(1, source.reads)
        val same = CountedSource(bundle("one"), stamp = "2")
        repeat(2) { onWorker { effects().open("e", same).close() } }
        assertEquals(1, same.reads)
    }

    @Test
    fun `file that was written again is read again`() {
        val file = File(context.cacheDir, "x.pgb").apply { writeBytes(bundle("one")) }
        onWorker { effects().open("e", BundleSource.file(file)).close() }
        file.writeBytes(bundle("two"))
        file.setLastModified(1_000_000)
        assertEquals("two", onWorker { effects().open("e", BundleSource.file(file)) }.entry)
    }

    @Test
    fun `installed file that was changed is found, and comes back from the source`() {
        val source = CountedSource(bundle("one"), stamp = "1")
        onWorker { effects().open("e", source).close() }
        unpacked("one/main/model.onnx").apply { writeText("two") }.setLastModified(1_000_000)
        assertTrue("models/one/main/model.onnx is damaged" in refusal(null))
        assertEquals("one", onWorker { effects().open("e", source) }.entry)
        assertEquals(2, source.reads)
        assertEquals("one", open(null).entry)
    }

    @Test
    fun `installed file that is gone is found`() {
        open(bundle("one")).close()
        unpacked("one/main/model.onnx").delete()
        assertTrue("misses models/one/main/model.onnx" in refusal(null))
    }

    @Test
    fun `installed file whose time alone changed is hashed once and runs`() {
        open(bundle("one")).close()
        unpacked("one/main/model.onnx").setLastModified(1_000_000)
        assertEquals("one", open(null).entry)
        val remembered = File(folder, "installed.json").readText()
        open(null).close()
        assertEquals(remembered, File(folder, "installed.json").readText())
    }

    @Test
    fun `installed bundle is refused once the app trusts another key`() {
        open(bundle("one")).close()
        assertTrue("is signed by another key" in refusal(null, EffectOptions(TestKey().pem)))
    }

    @Test
    fun `installed unsigned bundle is replaced by the same one with a signature`() {
        val consent = EffectOptions(null, allowUnsigned = true)
        open(bundle("one", key = null), consent).close()
        assertTrue("is not signed" in refusal(null))
        assertEquals("one", open(bundle("one")).entry)
        assertEquals("one", open(null).entry)
    }

    @Test
    fun `what no engine of the app runs is not unpacked`() {
        open(testBundle(scripted("one"), TestEntry("other", "executorch", ByteArray(99)), key = key)).close()
        assertTrue(folder.walk().none { it.path.contains("other") })
    }

    @Test
    fun `diffusion editors are refused by name`() {
        val editor = testBundle(scripted("one"), name = "instruct", key = key, role = Role.DIFFUSION)
        assertEquals("bundle instruct is a diffusion editor of several models; effects are of one model", refusal(editor))
    }

    @Test
    fun `entry of several components is left out by name`() {
        val parts = TestEntry("a", "scripted", "a".toByteArray(), components = listOf("encoder", "unet"))
        val effect = open(testBundle(parts, scripted("b"), key = key))
        assertEquals("it has several components (encoder, unet), and effects run entries of one", effect.leftOut["a"])
    }

    @Test
    fun `effects are not opened on the main thread`() {
        assertTrue(Looper.getMainLooper().isCurrentThread)
        val problem = assertFailsWith<IllegalStateException> { effects().open("e") }
        assertTrue("another thread" in problem.message!!)
    }

    @Test
    fun `names are no paths`() {
        for (name in listOf("", ".", "..", "a/b", "../x")) {
            assertFailsWith<IllegalArgumentException> { onWorker { effects().open(name) } }
        }
    }

    @Test
    fun `removed effect is gone, and one that is open goes on`() {
        val effect = open(bundle("one"))
        effects().remove("e")
        assertEquals("no effect e is installed; give its bundle", refusal(null))
        val picture = Bitmap.createBitmap(8, 6, Bitmap.Config.ARGB_8888)
        assertEquals(8, effect.run(picture).width)
    }

    @Test
    fun `effects of two names have nothing to do with each other`() {
        open(bundle("one")).close()
        val two = BundleSource.stream("x", bundle("two").inputStream())
        assertEquals("two", onWorker { effects().open("other", two) }.entry)
        assertEquals("one", open(null).entry)
    }

    @Test
    fun `asset is installed once for each version of the app`() {
        val stamp = BundleSource.asset(context, "x.pgb").stamp
        assertEquals(stamp, BundleSource.asset(context, "x.pgb").stamp)
        shadowOf(context.packageManager)
            .getInternalMutablePackageInfo(context.packageName).longVersionCode += 1
        assertTrue(stamp != BundleSource.asset(context, "x.pgb").stamp)
    }

    @Test
    fun `content of another app is installed`() {
        val uri = Uri.parse("content://files/x.pgb")
        shadowOf(context.contentResolver).registerInputStream(uri, bundle("one").inputStream())
        assertEquals("one", onWorker { effects().open("e", BundleSource.uri(context, uri)) }.entry)
    }

    @Test
    fun `file that is not there is told in one line`() {
        val none = File(context.cacheDir, "none.pgb")
        val problem = assertFailsWith<EffectException> { onWorker { effects().open("e", BundleSource.file(none)) } }
        assertEquals("$none: there is no such file", problem.message)
    }
}

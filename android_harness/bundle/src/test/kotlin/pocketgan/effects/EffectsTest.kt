package pocketgan.effects

import android.graphics.Bitmap
import android.graphics.Color
import java.io.File
import java.util.concurrent.Callable
import java.util.concurrent.ExecutionException
import java.util.concurrent.Executors
import kotlin.test.assertEquals
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.annotation.GraphicsMode
import pocketgan.onnxruntime.OnnxRuntimeEngine

private val WORKER = Executors.newSingleThreadExecutor { Thread(it).apply { isDaemon = true } }

/** Effects are not opened on the main thread, which a test's is. */
internal fun <T> onWorker(work: () -> T): T =
    try {
        WORKER.submit(Callable(work)).get()
    } catch (failed: ExecutionException) {
        throw failed.cause!!
    }

@RunWith(RobolectricTestRunner::class)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
class EffectsTest {
    private val context = RuntimeEnvironment.getApplication()
    private val key = TestKey()

    private fun file(bundle: ByteArray, name: String = "x.pgb") =
        File(context.cacheDir, name).apply { writeBytes(bundle) }

    @Test
    fun `signed bundle turns a bitmap into its negative`() {
        val effects = Effects(context, listOf(OnnxRuntimeEngine()), EffectOptions(key.pem))
        val source = BundleSource.file(file(testBundle(key = key)))
        val picture = Bitmap.createBitmap(WIDTH.toInt(), HEIGHT.toInt(), Bitmap.Config.ARGB_8888)
        picture.setPixel(3, 2, Color.rgb(10, 128, 255))
        picture.setPixel(0, 0, Color.rgb(255, 255, 255))
        val made = onWorker { effects.open("negative", source).use { it.run(picture) } }
        assertEquals(Color.rgb(245, 127, 0), made.getPixel(3, 2))
        assertEquals(Color.BLACK, made.getPixel(0, 0))
    }
}

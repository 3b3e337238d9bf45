package pocketgan.effects

import android.graphics.Bitmap
import android.graphics.BitmapFactory
import java.io.File
import kotlin.test.assertEquals
import org.junit.Assume.assumeTrue
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.annotation.GraphicsMode
import pocketgan.onnxruntime.OnnxRuntimeEngine

/** On a bundle that Python exported and signed; tests/android_harness/test_effects.py hands it over and judges what is made. */
@RunWith(RobolectricTestRunner::class)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
class ExportedEffectTest {
    @Test
    fun `exported bundle turns pictures into pictures`() {
        val given = System.getProperty("effect")
        assumeTrue("no bundle was exported", given != null)
        val folder = File(given!!)
        val context = RuntimeEnvironment.getApplication()
        val options = EffectOptions(File(folder, "key.pub").readText())
        onWorker {
            val effects = Effects(context, listOf(OnnxRuntimeEngine()), options)
            effects.open("e", BundleSource.file(File(folder, "effect.pgb"))).use { effect ->
                for (file in File(folder, "pictures").listFiles()!!) {
                    val made = effect.run(BitmapFactory.decodeFile("$file"))
                    File(folder, "made/${file.name}").apply { parentFile!!.mkdirs() }.outputStream()
                        .use { made.compress(Bitmap.CompressFormat.PNG, 100, it) }
                }
                File(folder, "entry").writeText(effect.entry)
                // On a JVM the library has no provider but the processor's.
                assertEquals(setOf("onnx-fp32 on cpu", "onnx-fp32-image on cpu"), effect.medianNs.keys)
            }
        }
    }
}
